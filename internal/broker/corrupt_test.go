package broker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/obs"
)

// fetchAt asks for one batch of the topic's only partition.
func fetchAt(t *testing.T, cl *kgo.Client, topic string, offset int64) kmsg.FetchResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 100, 1, 1, -1
	d, err := kadm.NewClient(cl).ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, d[topic].ID
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = offset, 1, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := cl.Broker(1).Request(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
}

func TestReadOverACorruptBatchSaysSoAndTheOthersAreRead(t *testing.T) {
	dir := t.TempDir()
	r := start(t, broker.Config{DataDir: dir})
	cl := r.client(t)
	createTopic(t, cl, "events", 1, nil)
	for i := range 5 {
		produce(t, cl, "events", i, 1) // a batch each
	}
	cl.Close()
	r.stop()
	path := filepath.Join(dir, "topics/events/0/00000000000000000000.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x40
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r = start(t, broker.Config{DataDir: dir})
	cl = r.client(t)
	bad := 0
	for offset := range int64(5) {
		switch p := fetchAt(t, cl, "events", offset); {
		case p.ErrorCode == kerr.CorruptMessage.Code:
			bad++
		case p.ErrorCode != 0 || len(p.RecordBatches) == 0:
			t.Errorf("offset %d: %v, %d bytes", offset, kerr.ErrorForCode(p.ErrorCode), len(p.RecordBatches))
		}
	}
	if bad != 1 {
		t.Errorf("%d batches are corrupt", bad)
	}
	if all := r.health.All(); len(all) != 1 || all[0].Level != obs.Degraded {
		t.Errorf("health: %+v", all)
	}
	report, err := broker.Verify(t.Context(), dir)
	if err == nil {
		t.Errorf("verified a folder in use: %+v", report)
	}
	cl.Close()
	r.stop()
	if report, err = broker.Verify(t.Context(), dir); err != nil || len(report.Problems) != 1 || report.Records != 4 {
		t.Errorf("%+v, %v", report, err)
	}
}
