package wire

import (
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
	for _, res := range req.Resources {
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
		if names != nil && !slices.Contains(names, e.Name) {
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
	for _, res := range req.Resources {
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
		rr.ErrorCode, rr.ErrorMessage = r.alter(res.ResourceType, res.ResourceName, req.ValidateOnly, func(set map[string]string) error {
			clear(set)
			for _, c := range res.Configs {
				if c.Value != nil {
					set[c.Name] = *c.Value
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
	for _, res := range req.Resources {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
		rr.ErrorCode, rr.ErrorMessage = r.alter(res.ResourceType, res.ResourceName, req.ValidateOnly, func(set map[string]string) error {
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

func (r request) alter(kind kmsg.ConfigResourceType, name string, dryRun bool, change func(map[string]string) error) (int16, *string) {
	if kind != kmsg.ConfigResourceTypeTopic {
		return failure(errNoConfig)
	}
	return failure(r.server.store.SetConfig(name, dryRun, change))
}

func applyChange(set map[string]string, op kmsg.IncrementalAlterConfigOp, name string, value *string) error {
	isList := name == storage.ConfigCleanupPolicy
	switch {
	case op == kmsg.IncrementalAlterConfigOpDelete:
		delete(set, name)
	case value == nil:
		return fmt.Errorf("%w: %s without a value", storage.ErrInvalidConfig, name)
	case op == kmsg.IncrementalAlterConfigOpSet:
		set[name] = *value
	case op == kmsg.IncrementalAlterConfigOpAppend && isList:
		have := strings.FieldsFunc(set[name], func(c rune) bool { return c == ',' })
		if !slices.Contains(have, *value) {
			have = append(have, *value)
		}
		set[name] = strings.Join(have, ",")
	case op == kmsg.IncrementalAlterConfigOpSubtract && isList:
		have := strings.FieldsFunc(set[name], func(c rune) bool { return c == ',' })
		set[name] = strings.Join(slices.DeleteFunc(have, func(v string) bool { return v == *value }), ",")
	default:
		return fmt.Errorf("%w: %s is not a list", storage.ErrInvalidConfig, name)
	}
	return nil
}
