package broker

import (
	"context"
	"fmt"
	"testing"

	"github.com/decodersring/decoder/internal/broker/groups"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// A group that has committed to very many partitions can commit and be deleted.
func TestGroupsLogTakesMoreThanABatch(t *testing.T) {
	s := storage.New(storage.Options{Dir: t.TempDir(), MinFree: -1})
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if err := makeOffsetsTopic(s); err != nil {
		t.Fatal(err)
	}
	l := offsetsLog{s}
	var records []groups.Record
	for i := range 3 * maxOffsetsBatch / 2000 {
		records = append(records, groups.Record{Key: fmt.Appendf(nil, "%01000d", i), Value: make([]byte, 1000)})
	}
	_, done, err := l.Append(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := done(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = l.Each(func(key, _ []byte) {
		if string(key) != string(records[n].Key) {
			t.Fatalf("record %d is %s", n, key)
		}
		n++
	})
	if err != nil || n != len(records) {
		t.Errorf("%d records of %d, %v", n, len(records), err)
	}
}
