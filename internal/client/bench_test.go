package client_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
)

// BenchmarkPassThrough is what the runtime costs a record of 1 KB: read, handed
// to a stage that emits it again, acknowledged, committed.
func BenchmarkPassThrough(b *testing.B) {
	log := bustest.Open(b)
	value := bytes.Repeat([]byte(`{"event":{"kind":"event"},"n":123456},`), 27)[:1024]
	for n := 0; n < b.N; {
		var records []*bus.Record
		for range min(10_000, b.N-n) {
			records = append(records, &bus.Record{Topic: in, Key: []byte(fmt.Sprint("k", n%100)), Value: value,
				Headers: []bus.Header{{Key: event.HeaderOrigin, Value: []byte(fmt.Sprint("bench:x:", n))}}})
			n++
		}
		if err := log.Append(b.Context(), records...); err != nil {
			b.Fatal(err)
		}
	}
	rt := client.NewRuntime(log, scope(b))
	c, err := rt.New(client.Spec{Name: "pass", Inputs: []string{in}, Outputs: []string{out}, Stage: &stage{handle: pass}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1024)
	b.ReportAllocs()
	b.ResetTimer()
	began := time.Now()
	go func() {
		if err := c.Run(b.Context()); err != nil {
			b.Error(err)
		}
	}()
	if err := rt.Drain(b.Context(), "pass"); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "records/s")
}
