package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/storage"
)

// asked is what a request is answered with.
func asked(ctx context.Context, t *testing.T, c *conn, req kmsg.Request) kmsg.Response {
	t.Helper()
	p, _, err := c.begin(ctx, encoded(req))
	if err != nil {
		t.Fatal(err)
	}
	return p.reply(ctx)
}

// TestWhatIsAskedAgainIsAnsweredOnce asks a thousand times for what takes a
// thousand times as many bytes as its name.
func TestWhatIsAskedAgainIsAnsweredOnce(t *testing.T) {
	c := running(t, storage.Options{}, "t")
	c.net, _ = net.Pipe()
	metadata, byID := kmsg.NewPtrMetadataRequest(), kmsg.NewPtrMetadataRequest()
	configs, groups, offsets := kmsg.NewPtrDescribeConfigsRequest(), kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrOffsetFetchRequest()
	for range 1000 {
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: new("t")})
		byID.Topics = append(byID.Topics, kmsg.MetadataRequestTopic{TopicID: c.server.store.Topic("t").ID})
		configs.Resources = append(configs.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t"})
		groups.Groups = append(groups.Groups, "g")
		offsets.Groups = append(offsets.Groups, kmsg.OffsetFetchRequestGroup{Group: "g"})
	}
	for field, reqs := range map[string][]kmsg.Request{"Topics": {metadata, byID}, "Resources": {configs}, "Groups": {groups, offsets}} {
		for _, req := range reqs {
			a := c.server.apis[req.Key()]
			req.SetVersion(a.max)
			if n := reflect.ValueOf(asked(t.Context(), t, c, req)).Elem().FieldByName(field).Len(); n != 1 {
				t.Errorf("%s: %d answers", kmsg.NameForKey(req.Key()), n)
			}
		}
	}
}

// TestChangesEndWithTheConnection has nobody wait for what takes a sync each.
func TestChangesEndWithTheConnection(t *testing.T) {
	c := running(t, storage.Options{}, "t")
	c.net, _ = net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	p := c.server.store.Topic("t").Partition(0)
	aBatch(t, p)
	c.server.cfg.AutoCreate = func(string) (storage.TopicSpec, bool) { return storage.TopicSpec{Partitions: 1}, true }
	create, metadata := kmsg.NewPtrCreateTopicsRequest(), kmsg.NewPtrMetadataRequest()
	metadata.AllowAutoTopicCreation = true
	for i := range 3 {
		create.Topics = append(create.Topics, kmsg.CreateTopicsRequestTopic{Topic: fmt.Sprint("created-", i), NumPartitions: 1, ReplicationFactor: 1})
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: new(fmt.Sprint("asked-for-", i))})
	}
	records := kmsg.NewPtrDeleteRecordsRequest()
	records.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 1}}}}
	all := []kmsg.Request{create, metadata, records}
	cancel()
	for _, req := range all {
		asked(ctx, t, c, req)
	}
	if n := len(c.server.store.Topics()); n != 1 || p.Start() != 0 {
		t.Errorf("there are %d topics, one begins at %d", n, p.Start())
	}
	for _, req := range all {
		asked(t.Context(), t, c, req)
	}
	if n := len(c.server.store.Topics()); n != 7 || p.Start() != 1 {
		t.Errorf("with a connection there are %d topics, one begins at %d", n, p.Start())
	}
}

// TestAnswersNobodyReadsShareABound has clients ask for much and not read it.
// Others are still served, with little at a time, and embedded clients as ever.
func TestAnswersNobodyReadsShareABound(t *testing.T) {
	const batch, much, bound = 10_000, 256 << 10, 600 << 10
	c := running(t, storage.Options{}, "t")
	p := c.server.store.Topic("t").Partition(0)
	for range 2 * much / batch {
		_, commit, err := p.AppendRecords([]storage.KeyValue{{Value: make([]byte, batch)}})
		if err == nil {
			err = commit.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.server.unsent.Store(bound)
	req := fetchOf("t")
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = much, much
	fetched := func(remote bool) (fetchResponse, int) {
		c.remote = remote
		r := asked(t.Context(), t, c, req).(fetchResponse)
		return r, len(r.Topics[0].Partitions[0].RecordBatches)
	}
	var held []fetchResponse
	for i := range 4 {
		r, n := fetched(true)
		held = append(held, r)
		if (n > shortFetch) != (i < bound/much) || n < batch {
			t.Errorf("answer %d has %d bytes", i, n)
		}
	}
	c.remote = false
	if _, n := fetched(false); n <= shortFetch {
		t.Errorf("an embedded client's answer has %d bytes", n)
	}
	c.remote = true
	for _, r := range held {
		r.release()
	}
	if n := c.server.unsent.Load(); n != bound {
		t.Errorf("of %d bytes %d are free when all have been read", bound, n)
	}
	if _, n := fetched(true); n <= shortFetch {
		t.Errorf("after that an answer has %d bytes", n)
	}
}

// TestUnknownOperationChangesNothing has a list that could be taken from.
func TestUnknownOperationChangesNothing(t *testing.T) {
	for op := kmsg.IncrementalAlterConfigOp(4); op < 6; op++ {
		set := map[string]string{storage.ConfigCleanupPolicy: "compact,delete"}
		if err := applyChange(set, op, storage.ConfigCleanupPolicy, new("delete")); !errors.Is(err, storage.ErrInvalidConfig) || set[storage.ConfigCleanupPolicy] != "compact,delete" {
			t.Errorf("operation %d: %v, %v", op, set, err)
		}
	}
}

// lastConnection is a listener that ends with the connection it accepts.
type lastConnection struct {
	net.Listener
	end  func()
	last chan net.Conn
}

func (l lastConnection) Accept() (net.Conn, error) {
	l.end()
	if c := <-l.last; c != nil {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l lastConnection) Close() error { return nil }

func TestConnectionThatComesAtTheEndIsClosed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, server := net.Pipe()
	last := make(chan net.Conn, 1)
	last <- server
	close(last)
	if err := client.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	s := producer(t).server
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, lastConnection{end: cancel, last: last}) }()
	if _, err := io.ReadAll(client); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.Close()
}
