package protocol

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func compression(t *testing.T, l *log) {
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		topic := l.topic(t, 1)
		put(t, l.client(t, kgo.ProducerBatchCompression(codec)), topic, 0, 500)
		for j, r := range take(t, l.client(t, kgo.ConsumeTopics(topic)), 500) {
			if r.Offset != int64(j) || string(r.Value) != fmt.Sprintf("value-%d", j) {
				t.Fatalf("codec %d: record %d: offset %d, %s", i, j, r.Offset, r.Value)
			}
		}
	}
}

// batch makes an encoded batch of n records.
func batch(n int, producer int64, epoch int16, sequence int32) []byte {
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{Magic: 2, PartitionLeaderEpoch: -1, FirstTimestamp: now, MaxTimestamp: now,
		LastOffsetDelta: int32(n) - 1, NumRecords: int32(n), ProducerID: producer, ProducerEpoch: epoch, FirstSequence: sequence}
	for i := range n {
		r := kmsg.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: []byte("v")}
		body := r.AppendTo(nil)
		r.Length = int32(len(body) - 1) // its own length, one byte so far
		b.Records = r.AppendTo(b.Records)
	}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	return reseal(out)
}

func reseal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func produce(t *testing.T, cl *kgo.Client, topic string, records []byte) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = topic, topicID(t, cl, topic)
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = records
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	var r kmsg.ProduceResponseTopicPartition
	await(t, "the topic is known by its id", func() bool {
		r = ask[*kmsg.ProduceResponse](t, cl, req).Topics[0].Partitions[0]
		return r.ErrorCode != kerr.UnknownTopicID.Code
	})
	return r
}

func topicID(t *testing.T, cl *kgo.Client, topic string) [16]byte {
	t.Helper()
	d, err := kadm.NewClient(cl).ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return d[topic].ID
}

func producerID(t *testing.T, cl *kgo.Client) int64 {
	t.Helper()
	r := ask[*kmsg.InitProducerIDResponse](t, cl, kmsg.NewPtrInitProducerIDRequest())
	want(t, "a producer id", r.ErrorCode, nil)
	return r.ProducerID
}

func duplicate(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	id := producerID(t, cl)
	for i := range int32(3) {
		for range 3 {
			r := produce(t, cl, topic, batch(2, id, 0, 2*i))
			want(t, "a batch", r.ErrorCode, nil)
			if r.BaseOffset != int64(2*i) {
				t.Errorf("batch %d is at %d", i, r.BaseOffset)
			}
		}
	}
	if other := producerID(t, cl); other == id {
		t.Error("two producers have one id")
	}
}

func sequence(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	id := producerID(t, cl)
	want(t, "the first", produce(t, cl, topic, batch(2, id, 3, 0)).ErrorCode, nil)
	want(t, "a gap", produce(t, cl, topic, batch(1, id, 3, 7)).ErrorCode, kerr.OutOfOrderSequenceNumber)
	want(t, "an older epoch", produce(t, cl, topic, batch(1, id, 2, 2)).ErrorCode, kerr.InvalidProducerEpoch)
	want(t, "a newer epoch, not from 0", produce(t, cl, topic, batch(1, id, 4, 5)).ErrorCode, kerr.OutOfOrderSequenceNumber)
	want(t, "a newer epoch", produce(t, cl, topic, batch(1, id, 4, 0)).ErrorCode, nil)
}

func badBatches(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		want   []*kerr.Error
	}{
		{"good", func(b []byte) []byte { return b }, []*kerr.Error{nil}},
		{"CRC", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, []*kerr.Error{kerr.CorruptMessage}},
		{"cut", func(b []byte) []byte { return b[:len(b)-3] }, []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}},
		{"log append time", func(b []byte) []byte { b[22] |= 8; return reseal(b) }, l.differs(kerr.InvalidTimestamp, nil)},
		{"control", func(b []byte) []byte { b[22] |= 0x20; return reseal(b) }, []*kerr.Error{kerr.InvalidRecord}},
		{"count", func(b []byte) []byte { b[60] = 9; return reseal(b) }, []*kerr.Error{kerr.InvalidRecord, kerr.CorruptMessage}},
		{"two", func(b []byte) []byte { return append(b, b...) }, []*kerr.Error{kerr.InvalidRecord}},
		{"empty", func([]byte) []byte { return []byte{} }, []*kerr.Error{kerr.InvalidRecord, kerr.CorruptMessage}},
	} {
		want(t, c.name, produce(t, cl, topic, c.change(batch(2, -1, -1, -1))).ErrorCode, c.want...)
	}
	small := l.topic(t, 1, "max.message.bytes", "50")
	want(t, "too large", produce(t, cl, small, batch(2, -1, -1, -1)).ErrorCode, kerr.MessageTooLarge)
	compact := l.topic(t, 1, "cleanup.policy", "compact")
	err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: compact, Value: []byte("no key")}).FirstErr()
	want(t, "no key", errCode(err), kerr.InvalidRecord)
}

func listOffsets(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	adm := kadm.NewClient(cl)
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 10 {
		r := &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: base.Add(time.Duration(i) * time.Minute)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	at := func(ms int64) int64 {
		o, err := adm.ListOffsetsAfterMilli(t.Context(), ms, topic)
		if err != nil {
			t.Fatal(err)
		}
		return o[topic][0].Offset
	}
	for name, c := range map[string]struct{ ms, want int64 }{
		"exact": {base.Add(3 * time.Minute).UnixMilli(), 3}, "between": {base.Add(3*time.Minute+1).UnixMilli() + 1, 4},
		"before": {base.UnixMilli() - 5, 0}, "after": {time.Now().UnixMilli(), 10},
	} {
		if got := at(c.ms); got != c.want {
			t.Errorf("%s: offset %d, want %d", name, got, c.want)
		}
	}
	if o, err := adm.ListMaxTimestampOffsets(t.Context(), topic); err != nil || o[topic][0].Offset != 9 {
		t.Errorf("largest timestamp: %v, %v", o, err)
	}
}

func fetchOne(t *testing.T, cl *kgo.Client, topic string, offset int64, change func(*kmsg.FetchRequest)) kmsg.FetchResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 100, 1, 1<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, topicID(t, cl, topic)
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = offset, 1<<20, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	if change != nil {
		change(req)
	}
	resp, err := cl.Broker(1).Request(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
}

func fetch(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	for range 5 {
		want(t, "a batch", produce(t, cl, topic, batch(10, -1, -1, -1)).ErrorCode, nil)
	}
	first := func(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }
	for _, offset := range []int64{0, 9, 10, 25, 49} {
		r := fetchOne(t, cl, topic, offset, nil)
		want(t, "fetching", r.ErrorCode, nil)
		if got := first(r.RecordBatches); got != offset/10*10 || r.HighWatermark != 50 || r.LogStartOffset != 0 {
			t.Errorf("from %d: batch %d, high watermark %d, start %d", offset, got, r.HighWatermark, r.LogStartOffset)
		}
	}
	one := len(batch(10, -1, -1, -1))
	if r := fetchOne(t, cl, topic, 0, func(f *kmsg.FetchRequest) { f.Topics[0].Partitions[0].PartitionMaxBytes = 10 }); len(r.RecordBatches) != one {
		t.Errorf("of a batch larger than asked for came %d bytes", len(r.RecordBatches))
	}
	if r := fetchOne(t, cl, topic, 0, func(f *kmsg.FetchRequest) { f.MaxBytes = 0 }); len(r.RecordBatches) != one {
		t.Errorf("of a batch larger than the answer was to be came %d bytes", len(r.RecordBatches))
	}
	began := time.Now()
	fetchOne(t, cl, topic, 0, func(f *kmsg.FetchRequest) { f.MinBytes, f.MaxBytes, f.MaxWaitMillis = 1<<20, 10, 15_000 })
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("waited %v for more than the answer may have", d)
	}
	want(t, "behind the end", fetchOne(t, cl, topic, 51, nil).ErrorCode, kerr.OffsetOutOfRange)
	want(t, "negative", fetchOne(t, cl, topic, -5, nil).ErrorCode, kerr.OffsetOutOfRange)
	want(t, "no partition", fetchOne(t, cl, topic, 0, func(f *kmsg.FetchRequest) { f.Topics[0].Partitions[0].Partition = 7 }).ErrorCode, kerr.UnknownTopicOrPartition)
	want(t, "an epoch to come", fetchOne(t, cl, topic, 0, func(f *kmsg.FetchRequest) { f.Topics[0].Partitions[0].CurrentLeaderEpoch = 9 }).ErrorCode, kerr.UnknownLeaderEpoch)
	if r := fetchOne(t, cl, topic, 50, nil); r.ErrorCode != 0 || len(r.RecordBatches) != 0 {
		t.Errorf("at the end: %v, %d bytes", kerr.ErrorForCode(r.ErrorCode), len(r.RecordBatches))
	}
}

func longPoll(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	started := time.Now()
	fetchOne(t, cl, topic, 0, func(f *kmsg.FetchRequest) { f.MaxWaitMillis = 300 })
	if d := time.Since(started); d < 280*time.Millisecond {
		t.Errorf("a fetch of nothing came back after %v", d)
	}
	got := make(chan kmsg.FetchResponseTopicPartition, 1)
	go func() {
		got <- fetchOne(t, l.client(t), topic, 0, func(f *kmsg.FetchRequest) { f.MaxWaitMillis, f.MinBytes = 15_000, 150 })
	}()
	one := produce(t, cl, topic, batch(1, -1, -1, -1))
	want(t, "a batch", one.ErrorCode, nil)
	select {
	case r := <-got:
		t.Fatalf("%d bytes came, 150 were asked for", len(r.RecordBatches))
	case <-time.After(200 * time.Millisecond):
	}
	want(t, "a batch", produce(t, cl, topic, batch(30, -1, -1, -1)).ErrorCode, nil)
	select {
	case r := <-got:
		if len(r.RecordBatches) < 150 {
			t.Errorf("%d bytes came", len(r.RecordBatches))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the fetch was not woken")
	}
}

func deleteRecords(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	put(t, cl, topic, 0, 20)
	adm := kadm.NewClient(cl)
	del := func(offset int64) kadm.DeleteRecordsResponse {
		o := kadm.Offsets{}
		o.AddOffset(topic, 0, offset, -1)
		r, err := adm.DeleteRecords(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return r[topic][0]
	}
	if r := del(7); r.Err != nil || r.LowWatermark != 7 {
		t.Errorf("%+v", r)
	}
	want(t, "a deleted offset", fetchOne(t, cl, topic, 3, nil).ErrorCode, kerr.OffsetOutOfRange)
	want(t, "beyond the end", errCode(del(21).Err), kerr.OffsetOutOfRange)
	if r := del(-1); r.Err != nil || r.LowWatermark != 20 {
		t.Errorf("%+v", r)
	}
	if o, err := adm.ListStartOffsets(t.Context(), topic); err != nil || o[topic][0].Offset != 20 {
		t.Errorf("%v, %v", o, err)
	}
}

func epochs(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1), l.client(t)
	put(t, cl, topic, 0, 5)
	req := kadm.OffsetForLeaderEpochRequest{}
	req.Add(topic, 0, 0)
	r, err := kadm.NewClient(cl).OffsetForLeaderEpoch(t.Context(), req)
	if err != nil || r[topic][0].EndOffset != 5 || r[topic][0].LeaderEpoch != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func createTopics(t *testing.T, l *log) {
	cl := l.client(t)
	adm := kadm.NewClient(cl)
	name := l.topic(t, 1)
	text := func(s string) *string { return &s }
	for _, c := range []struct {
		what       string
		name       string
		partitions int32
		replicas   int16
		config     map[string]*string
		want       *kerr.Error
	}{
		{"there already", name, 1, 1, nil, kerr.TopicAlreadyExists},
		{"bad name", "a/b", 1, 1, nil, kerr.InvalidTopicException},
		{"dots", "..", 1, 1, nil, kerr.InvalidTopicException},
		{"no partitions", "none", 0, 1, nil, kerr.InvalidPartitions},
		{"replicas", "replicated", 1, 3, nil, kerr.InvalidReplicationFactor},
		{"7d", "days", 1, 1, map[string]*string{"retention.ms": text("7d")}, kerr.InvalidConfig},
		{"unknown configuration", "unknown", 1, 1, map[string]*string{"no.such": text("1")}, kerr.InvalidConfig},
		{"policy", "policy", 1, 1, map[string]*string{"cleanup.policy": text("purge")}, kerr.InvalidConfig},
	} {
		r, err := adm.CreateTopic(t.Context(), c.partitions, c.replicas, c.config, c.name)
		if err == nil {
			err = r.Err
		}
		want(t, c.what, errCode(err), c.want)
	}
	if r, err := adm.CreatePartitions(t.Context(), 3, name); err != nil || r[name].Err != nil {
		t.Errorf("adding partitions: %v, %v", r, err)
	}
	r, err := adm.UpdatePartitions(t.Context(), 2, name)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "fewer partitions", errCode(r[name].Err), kerr.InvalidPartitions)
	del, err := adm.DeleteTopics(t.Context(), "never-was")
	if err != nil {
		t.Fatal(err)
	}
	want(t, "deleting what is not there", errCode(del["never-was"].Err), kerr.UnknownTopicOrPartition)
}

func configs(t *testing.T, l *log) {
	topic, cl := l.topic(t, 1, "retention.ms", "1000000"), l.client(t)
	adm := kadm.NewClient(cl)
	get := func(name string) string {
		rs, err := adm.DescribeTopicConfigs(t.Context(), topic)
		if err != nil || rs[0].Err != nil {
			t.Fatal(err, rs[0].Err)
		}
		for _, c := range rs[0].Configs {
			if c.Key == name {
				return c.MaybeValue()
			}
		}
		return "(none)"
	}
	alter := func(op kadm.IncrementalOp, name, value string) error {
		rs, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: op, Name: name, Value: &value}}, topic)
		if err != nil {
			t.Fatal(err)
		}
		return rs[0].Err
	}
	if got := get("retention.ms"); got != "1000000" {
		t.Errorf("retention.ms is %s", got)
	}
	becomes := func(name, value string) {
		await(t, name+" is "+value, func() bool { return get(name) == value })
	}
	if err := alter(kadm.SetConfig, "max.message.bytes", "77777"); err != nil {
		t.Errorf("a change: %v", err)
	}
	becomes("max.message.bytes", "77777")
	if got := get("retention.ms"); got != "1000000" {
		t.Errorf("another change made retention.ms %s", got)
	}
	if err := alter(kadm.DeleteConfig, "retention.ms", ""); err != nil {
		t.Errorf("a deletion: %v", err)
	}
	becomes("retention.ms", "604800000")
	if err := alter(kadm.AppendConfig, "cleanup.policy", "compact"); err != nil {
		t.Errorf("appending: %v", err)
	}
	want(t, "7d", errCode(alter(kadm.SetConfig, "retention.ms", "7d")), kerr.InvalidConfig)
}
