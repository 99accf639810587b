package protocol

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// repeated names things more than once in one request: nothing of them is
// changed, and nobody learns more than once about them.
func repeated(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	meta := kmsg.NewPtrMetadataRequest()
	for range 3 {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &topic
		meta.Topics = append(meta.Topics, rt)
	}
	if got := ask[*kmsg.MetadataResponse](t, cl, meta).Topics; len(got) != 1 {
		t.Errorf("metadata of one topic %d times", len(got))
	}

	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = 10_000
	again, once := topic+"-again", topic+"-once"
	for _, name := range []string{again, once, again} {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, 1, 1
		create.Topics = append(create.Topics, rt)
	}
	for _, create.ValidateOnly = range []bool{true, false} {
		for _, rt := range ask[*kmsg.CreateTopicsResponse](t, cl, create).Topics {
			expect := kerr.InvalidRequest
			if rt.Topic == once {
				expect = nil
			}
			want(t, fmt.Sprintf("creating %s, dry %t", rt.Topic, create.ValidateOnly), rt.ErrorCode, expect)
		}
	}

	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.TimeoutMillis = 10_000
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, 2
	grow.Topics = append(grow.Topics, rt, rt)
	for _, rt := range ask[*kmsg.CreatePartitionsResponse](t, cl, grow).Topics {
		want(t, "partitions twice", rt.ErrorCode, kerr.InvalidRequest)
	}

	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	alter.Resources = append(alter.Resources, res, res)
	for _, res := range ask[*kmsg.IncrementalAlterConfigsResponse](t, cl, alter).Resources {
		want(t, "configurations twice", res.ErrorCode, kerr.InvalidRequest)
	}

	name, id := kmsg.NewDeleteTopicsRequestTopic(), kmsg.NewDeleteTopicsRequestTopic()
	name.Topic, id.TopicID = &topic, topicID(t, cl, topic)
	both := name
	both.TopicID = id.TopicID
	for what, topics := range map[string][]kmsg.DeleteTopicsRequestTopic{
		"by its name twice": {name, name}, "by name and id": {name, id},
		"by both at once": {both}, "by neither": {kmsg.NewDeleteTopicsRequestTopic()},
	} {
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.TimeoutMillis, del.Topics = 10_000, topics
		for _, rt := range ask[*kmsg.DeleteTopicsResponse](t, cl, del).Topics {
			want(t, "deleted "+what, rt.ErrorCode, kerr.InvalidRequest)
		}
	}
	if d, err := kadm.NewClient(l.client(t)).ListTopics(t.Context(), topic); err != nil || len(d[topic].Partitions) != 1 {
		t.Errorf("the topic is not as it was: %+v, %v", d[topic], err)
	}
}

// lists changes a configuration that is a list by parts of it.
func lists(t *testing.T, l *log) {
	topic, adm := l.topic(t, 1), kadm.NewClient(l.client(t))
	for _, c := range []struct {
		op          kadm.IncrementalOp
		value, want string
	}{
		{kadm.AppendConfig, "compact", "delete,compact"}, // to the default
		{kadm.SubtractConfig, "delete", "compact"},
		{kadm.AppendConfig, "compact", "compact"},
		{kadm.AppendConfig, "delete", "compact,delete"},
		{kadm.SetConfig, "delete", "delete"},
		{kadm.AppendConfig, "compact,delete", "compact,delete delete,compact"},
	} {
		what := fmt.Sprintf("operation %d of %s", c.op, c.value)
		rs, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: c.op, Name: "cleanup.policy", Value: &c.value}}, topic)
		if err != nil || rs[0].Err != nil {
			t.Fatal(what, err, rs[0].Err)
		}
		describe := kmsg.NewPtrDescribeConfigsRequest()
		res := kmsg.NewDescribeConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
		res.ConfigNames = []string{} // all
		describe.Resources = append(describe.Resources, res)
		await(t, what, func() bool {
			for _, e := range ask[*kmsg.DescribeConfigsResponse](t, l.client(t), describe).Resources[0].Configs {
				if e.Name == "cleanup.policy" {
					return slices.Contains(strings.Fields(c.want), *e.Value)
				}
			}
			return false
		})
	}
	none := kmsg.NewPtrCreateTopicsRequest()
	none.TimeoutMillis = 10_000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic+"-null", 1, 1
	rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: "retention.ms"})
	none.Topics = append(none.Topics, rt)
	want(t, "a configuration of null", ask[*kmsg.CreateTopicsResponse](t, l.client(t), none).Topics[0].ErrorCode, kerr.InvalidConfig)
}

// timesToCome asks for offsets by what only a later version knows.
func timesToCome(t *testing.T, l *log) {
	topic := l.topic(t, 1)
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.ListOffsets), 8)
	cl := l.client(t, kgo.MaxVersions(versions))
	put(t, cl, topic, 0, 3)
	for _, at := range []int64{-5, -6, -100} {
		req := kmsg.NewPtrListOffsetsRequest()
		rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		rt.Topic, rp.Timestamp, rp.CurrentLeaderEpoch = topic, at, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		got := ask[*kmsg.ListOffsetsResponse](t, cl, req).Topics[0].Partitions[0]
		want(t, fmt.Sprint("time ", at), got.ErrorCode, kerr.UnsupportedVersion)
		if got.Offset != -1 {
			t.Errorf("time %d is at offset %d", at, got.Offset)
		}
	}
}

// unanswered is a producer that wants no answer: the connection is closed when
// something is wrong, and only then.
func unanswered(t *testing.T, l *log) {
	topic := l.topic(t, 1)
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for partition := range int32(2) { // there is one
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.TimeoutMillis = 9, 10_000
		rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
		rt.Topic, rp.Partition, rp.Records = topic, partition, batch(1, -1, -1, -1)
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, partition)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
		t.Errorf("answered with %d bytes, %v", len(b), err)
	}
	if o, err := kadm.NewClient(l.client(t)).ListEndOffsets(t.Context(), topic); err != nil || o[topic][0].Offset != 1 {
		t.Errorf("the topic ends at %v, %v", o, err)
	}
}
