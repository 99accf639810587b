package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/groups"
	"github.com/decodersring/decoder/internal/broker/storage"
)

type noLog struct{}

func (noLog) Append([]groups.Record) (int64, func(context.Context) error, error) {
	return 0, func(context.Context) error { return nil }, nil
}
func (noLog) Each(func(key, value []byte)) error { return nil }

// FuzzRequest begins and ends any request on a server that has a topic.
func FuzzRequest(f *testing.F) {
	for key, a := range apis() {
		for v := a.min; v <= a.max; v++ {
			req := kmsg.RequestForKey(key)
			req.SetVersion(v)
			b := binary.BigEndian.AppendUint16(nil, uint16(key))
			b = binary.BigEndian.AppendUint16(b, uint16(v))
			b = append(b, 0, 0, 0, 1, 0xff, 0xff)
			if req.IsFlexible() {
				b = append(b, 0)
			}
			f.Add(req.AppendTo(b))
		}
	}
	store := storage.New(storage.Options{Dir: f.TempDir(), JournalBytes: 64 << 10})
	if err := store.Open(); err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	if _, err := store.Create(storage.TopicSpec{Name: "t", Partitions: 2}); err != nil {
		f.Fatal(err)
	}
	s := New(Config{}, store, groups.New(groups.Config{InitialDelay: time.Millisecond}, noLog{}))
	client, server := net.Pipe()
	defer client.Close()
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < minFrame {
			return
		}
		c := &conn{server: s, net: server, signedIn: true, host: "fuzz"}
		ctx, cancel := context.WithCancel(t.Context())
		key := int16(binary.BigEndian.Uint16(frame))
		p, err := c.receive(ctx, bufio.NewReader(bytes.NewReader(frame)), key, len(frame))
		cancel() // what waits ends at once
		if err != nil {
			return
		}
		if resp := p.reply(ctx); resp != nil {
			_, _ = appendResponse(nil, p.correlationID, resp)
		}
	})
}
