package wire

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

func configSource(e storage.ConfigEntry) kmsg.ConfigSource {
	if e.IsSet {
		return kmsg.ConfigSourceDynamicTopicConfig
	}
	return kmsg.ConfigSourceDefaultConfig
}

// describeConfigs shows topics' configurations. The broker has none that could
// be read or changed this way, and says so with an empty list.
func describeConfigs(r request, req *kmsg.DescribeConfigsRequest) reply {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for _, res := range once(req.Resources, func(res kmsg.DescribeConfigsRequestResource) string {
		return fmt.Sprint(res.ResourceType, res.ResourceName)
	}) {
		rr := kmsg.NewDescribeConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
		switch res.ResourceType {
		case kmsg.ConfigResourceTypeTopic:
			if t := r.server.store.Topic(res.ResourceName); t != nil {
				rr.Configs = topicConfigs(t, res.ConfigNames)
			} else {
				rr.ErrorCode = code.UnknownTopicOrPartition
			}
		case kmsg.ConfigResourceTypeBroker:
		default:
			rr.ErrorCode = code.InvalidRequest
		}
		resp.Resources = append(resp.Resources, rr)
	}
	return answered(resp)
}

func topicConfigs(t *storage.Topic, names []string) []kmsg.DescribeConfigsResponseResourceConfig {
	var out []kmsg.DescribeConfigsResponseResourceConfig
	for _, e := range t.Config().Entries() {
		if len(names) > 0 && !slices.Contains(names, e.Name) {
			continue
		}
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value, c.Source, c.IsDefault = e.Name, new(e.Value), configSource(e), !e.IsSet
		out = append(out, c)
	}
	return out
}

// alterConfigs replaces everything that was set.
func alterConfigs(r request, req *kmsg.AlterConfigsRequest) reply {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for res, err := range changes(r, req.Resources, func(res *kmsg.AlterConfigsRequestResource) string {
		return fmt.Sprint(res.ResourceType, res.ResourceName)
	}) {
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
		rr.ErrorCode, rr.ErrorMessage = r.alter(err, res.ResourceType, res.ResourceName, req.ValidateOnly, func(set map[string]string) error {
			clear(set)
			for _, c := range res.Configs {
				if err := applyChange(set, kmsg.IncrementalAlterConfigOpSet, c.Name, c.Value); err != nil {
					return err
				}
			}
			return nil
		})
		resp.Resources = append(resp.Resources, rr)
	}
	return answered(resp)
}

// incrementalAlterConfigs changes only what is named.
func incrementalAlterConfigs(r request, req *kmsg.IncrementalAlterConfigsRequest) reply {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for res, err := range changes(r, req.Resources, func(res *kmsg.IncrementalAlterConfigsRequestResource) string {
		return fmt.Sprint(res.ResourceType, res.ResourceName)
	}) {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
		rr.ErrorCode, rr.ErrorMessage = r.alter(err, res.ResourceType, res.ResourceName, req.ValidateOnly, func(set map[string]string) error {
			for _, c := range res.Configs {
				if err := applyChange(set, c.Op, c.Name, c.Value); err != nil {
					return err
				}
			}
			return nil
		})
		resp.Resources = append(resp.Resources, rr)
	}
	return answered(resp)
}

// alter changes a topic's configuration, unless there is an error before.
func (r request) alter(err error, kind kmsg.ConfigResourceType, name string, dryRun bool, change func(map[string]string) error) (int16, *string) {
	switch {
	case err != nil:
		return failure(err)
	case kind != kmsg.ConfigResourceTypeTopic:
		return failure(errNoConfig)
	}
	return failure(r.server.store.SetConfig(name, dryRun, change))
}

func applyChange(set map[string]string, op kmsg.IncrementalAlterConfigOp, name string, value *string) error {
	switch {
	case op == kmsg.IncrementalAlterConfigOpDelete:
		delete(set, name)
	case value == nil:
		return fmt.Errorf("%w: %s without a value", storage.ErrInvalidConfig, name)
	case op == kmsg.IncrementalAlterConfigOpSet:
		set[name] = *value
	case op != kmsg.IncrementalAlterConfigOpAppend && op != kmsg.IncrementalAlterConfigOpSubtract:
		return fmt.Errorf("%w: unknown operation %d", storage.ErrInvalidConfig, op)
	case name != storage.ConfigCleanupPolicy:
		return fmt.Errorf("%w: %s is not a list", storage.ErrInvalidConfig, name)
	default: // a list is changed from its default on if it was not set
		values := strings.Split(*value, ",")
		have := strings.Split(cmp.Or(set[name], "delete"), ",")
		have = slices.DeleteFunc(have, func(v string) bool { return slices.Contains(values, v) })
		if op == kmsg.IncrementalAlterConfigOpAppend {
			have = append(have, values...)
		}
		set[name] = strings.Join(have, ",")
	}
	return nil
}
