package protocol

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func member(group, topic string, opts ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.HeartbeatInterval(100 * time.Millisecond),
		kgo.SessionTimeout(6 * time.Second), kgo.DisableAutoCommit()}, opts...)
}

// spread waits until the members share all partitions and each has one.
func spread(t *testing.T, l *log, group string, members, partitions int) kadm.DescribedGroup {
	t.Helper()
	adm := kadm.NewClient(l.client(t))
	var g kadm.DescribedGroup
	await(t, fmt.Sprintf("group %s shares %d partitions among %d", group, partitions, members), func() bool {
		d, err := adm.DescribeGroups(t.Context(), group)
		if err != nil { // Kafka makes its topic of groups when it is first asked
			return false
		}
		g = d[group]
		if g.State != "Stable" || len(g.Members) != members {
			return false
		}
		total := 0
		for _, m := range g.Members {
			if c, ok := m.Assigned.AsConsumer(); ok {
				for _, topic := range c.Topics {
					total += len(topic.Partitions)
				}
			}
		}
		return total == partitions
	})
	return g
}

// polling has a client poll until the test ends.
func polling(t *testing.T, cl *kgo.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cl.PollFetches(ctx)
			cl.AllowRebalance()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func rebalance(t *testing.T, l *log) {
	topic := l.topic(t, 6)
	group := topic + "-group"
	a := l.client(t, member(group, topic, kgo.Balancers(kgo.RangeBalancer()))...)
	polling(t, a)
	spread(t, l, group, 1, 6)
	b := l.client(t, member(group, topic, kgo.Balancers(kgo.RangeBalancer()))...)
	polling(t, b)
	spread(t, l, group, 2, 6)
	a.LeaveGroup()
	spread(t, l, group, 1, 6)
	adm := kadm.NewClient(l.client(t))
	r, err := adm.DeleteGroup(t.Context(), group)
	if err == nil {
		err = r.Err
	}
	want(t, "deleting a group with members", errCode(err), kerr.NonEmptyGroup)
}

func cooperative(t *testing.T, l *log) {
	topic := l.topic(t, 6)
	group := topic + "-group"
	for i := range 3 {
		polling(t, l.client(t, member(group, topic, kgo.Balancers(kgo.CooperativeStickyBalancer()))...))
		spread(t, l, group, i+1, 6)
	}
}

// staticMember restarts one of two. A cooperative one owned something when it
// joined last, and says that it owns nothing when it comes back.
func staticMember(t *testing.T, l *log) {
	for _, b := range []kgo.GroupBalancer{kgo.RangeBalancer(), kgo.CooperativeStickyBalancer()} {
		restarted(t, l, b)
	}
}

func restarted(t *testing.T, l *log, b kgo.GroupBalancer) {
	topic := l.topic(t, 4)
	group := topic + "-group"
	start := func(instance string) *kgo.Client {
		return l.client(t, member(group, topic, kgo.InstanceID(instance), kgo.Balancers(b))...)
	}
	a := start("a")
	polling(t, a)
	spread(t, l, group, 1, 4)
	polling(t, start("b"))
	before := spread(t, l, group, 2, 4)
	_, generation := a.GroupMetadata()
	a.Close() // a static member does not leave
	again := start("a")
	polling(t, again)
	await(t, "the static member comes back", func() bool {
		id, g := again.GroupMetadata()
		if id == "" || g < 0 {
			return false
		}
		if g != generation {
			t.Errorf("%s: a restart of a static member made generation %d of %d", b.ProtocolName(), g, generation)
		}
		return true
	})
	after := spread(t, l, group, 2, 4)
	if len(before.Members) != len(after.Members) {
		t.Errorf("%d members of %d", len(after.Members), len(before.Members))
	}
}

func offsets(t *testing.T, l *log) {
	topic, cl := l.topic(t, 3), l.client(t)
	put(t, cl, topic, 0, 1)
	group := topic + "-group"
	adm := kadm.NewClient(cl)
	commit := func(topic string, partition int32, at int64, meta string) error {
		o := kadm.Offsets{}
		o.Add(kadm.Offset{Topic: topic, Partition: partition, At: at, LeaderEpoch: -1, Metadata: meta})
		r, err := adm.CommitOffsets(t.Context(), group, o)
		if err != nil {
			t.Fatal(err)
		}
		return r[topic][partition].Err
	}
	for p := range int32(2) {
		if err := commit(topic, p, int64(10+p), "note"); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "an unknown topic", errCode(commit("never-was", 0, 1, "")), kerr.UnknownTopicOrPartition)
	want(t, "long metadata", errCode(commit(topic, 2, 1, fmt.Sprintf("%5000d", 1))), kerr.OffsetMetadataTooLarge)
	got, err := adm.FetchOffsets(t.Context(), group)
	if err != nil || len(got[topic]) != 2 || got[topic][1].At != 11 || got[topic][1].Metadata != "note" {
		t.Errorf("%+v, %v", got, err)
	}
	// What a request says of a member counts in a group that has some.
	fetch := kmsg.NewPtrOffsetFetchRequest()
	fg := kmsg.NewOffsetFetchRequestGroup()
	fg.Group, fg.MemberID, fg.MemberEpoch = group, new("stranger"), 7
	fetch.Groups = append(fetch.Groups, fg)
	if f := ask[*kmsg.OffsetFetchResponse](t, cl, fetch).Groups[0]; f.ErrorCode != 0 || len(f.Topics) != 1 {
		t.Errorf("offsets asked for by a stranger: %+v", f)
	}
	late := kmsg.NewPtrOffsetCommitRequest()
	late.Group, late.MemberID, late.Generation = group, "stranger", -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, topicID(t, cl, topic)
	rt.Partitions = append(rt.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
	late.Topics = append(late.Topics, rt)
	want(t, "a commit of a stranger without a generation",
		ask[*kmsg.OffsetCommitResponse](t, cl, late).Topics[0].Partitions[0].ErrorCode, nil)
	del := kadm.TopicsSet{}
	del.Add(topic, 0)
	if r, err := adm.DeleteOffsets(t.Context(), group, del); err != nil || r[topic][0] != nil {
		t.Errorf("deleting offsets: %v, %v", r, err)
	}
	if got, err = adm.FetchOffsets(t.Context(), group); err != nil || len(got[topic]) != 1 {
		t.Errorf("after a deletion: %+v, %v", got, err)
	}
	if r, err := adm.DeleteGroup(t.Context(), group); err != nil || r.Err != nil {
		t.Errorf("deleting the group: %v, %v", r, err)
	}
	if got, err = adm.FetchOffsets(t.Context(), group); err != nil || len(got[topic]) != 0 {
		t.Errorf("a deleted group: %+v, %v", got, err)
	}
	r, err := adm.DeleteGroup(t.Context(), group)
	if err == nil {
		err = r.Err
	}
	want(t, "deleting it again", errCode(err), kerr.GroupIDNotFound)
}

// fencing speaks for members that are not, or are no longer.
func fencing(t *testing.T, l *log) {
	topic := l.topic(t, 1)
	group := topic + "-group"
	cl := l.client(t, member(group, topic)...)
	polling(t, cl)
	spread(t, l, group, 1, 1)
	id, generation := cl.GroupMetadata()
	other := l.client(t)
	beat := func(id string, generation int32) int16 {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = group, id, generation
		return ask[*kmsg.HeartbeatResponse](t, other, req).ErrorCode
	}
	want(t, "the member", beat(id, generation), nil)
	want(t, "an old generation", beat(id, generation-1), kerr.IllegalGeneration)
	want(t, "a stranger", beat("stranger", generation), kerr.UnknownMemberID)
	commit := func(id string, generation int32) int16 {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.MemberID, req.Generation = group, id, generation
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic, rt.TopicID = topic, topicID(t, other, topic)
		rt.Partitions = append(rt.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.OffsetCommitResponse](t, other, req).Topics[0].Partitions[0].ErrorCode
	}
	want(t, "a commit of an old generation", commit(id, generation-1), kerr.IllegalGeneration)
	want(t, "a commit of a stranger", commit("stranger", generation), kerr.UnknownMemberID)
	want(t, "a commit of nobody", commit("", -1), kerr.UnknownMemberID)
	want(t, "a commit of the member", commit(id, generation), nil)
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = group, "other", 10_000, 10_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name = "p"
	join.Protocols = append(join.Protocols, p)
	want(t, "another protocol", ask[*kmsg.JoinGroupResponse](t, other, join).ErrorCode, kerr.InconsistentGroupProtocol)
	join.SessionTimeoutMillis = 1
	want(t, "a short session", ask[*kmsg.JoinGroupResponse](t, other, join).ErrorCode, kerr.InvalidSessionTimeout)
}

func deletedTopic(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	put(t, cl, topic, 0, 5)
	group := topic + "-group"
	adm := kadm.NewClient(cl)
	o := kadm.Offsets{}
	o.AddOffset(topic, 0, 5, -1)
	if r, err := adm.CommitOffsets(t.Context(), group, o); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	old := topicID(t, cl, topic)
	if r, err := adm.DeleteTopics(t.Context(), topic); err != nil || r[topic].Err != nil {
		t.Fatal(err, r[topic].Err)
	}
	await(t, "the topic can be made again", func() bool {
		r, err := adm.CreateTopic(t.Context(), 1, 1, nil, topic)
		return err == nil && r.Err == nil
	})
	if topicID(t, l.client(t), topic) == old {
		t.Error("the new topic has the old one's id")
	}
	got, err := adm.FetchOffsets(t.Context(), group)
	if err != nil || len(got[topic]) != 0 && !l.isKafka { // Kafka keeps them, or forgets them later
		t.Errorf("offsets of a deleted topic: %+v, %v", got, err)
	}
	if o, err := adm.ListEndOffsets(t.Context(), topic); err != nil || o[topic][0].Offset != 0 {
		t.Errorf("the new topic ends at %v, %v", o, err)
	}
}
