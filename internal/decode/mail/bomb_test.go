package mail_test

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/decode/mail/mailtest"
)

const (
	bombTime   = 5 * time.Second
	bombMemory = 200 << 20
)

func TestBombsEndWithinTheirLimits(t *testing.T) {
	for _, tt := range mailtest.Bombs() {

		t.Run(tt.Name, func(t *testing.T) {
			raw := tt.Raw()
			peak := watchHeap(t)
			start := time.Now()
			doc := mail.Decode(raw, mail.Delivery{}, mail.Options{})
			out, err := json.Marshal(doc)
			took := time.Since(start)
			if err != nil {
				t.Fatal(err)
			}
			if grown := peak(); took > bombTime || grown > bombMemory {
				t.Errorf("took %v and %d MB beside the message", took, grown>>20)
			} else {
				t.Logf("%d KB in: %v, %d MB, %d KB out, %v", len(raw)>>10, took.Round(time.Millisecond), grown>>20, len(out)>>10, doc.Mail.Defects)
			}
			if tt.Defect != "" && !slices.Contains(doc.Mail.Defects, tt.Defect) {
				t.Errorf("defects %v lack %s", doc.Mail.Defects, tt.Defect)
			}
			if slices.Contains(doc.Mail.Defects, mail.DefectTime) && !raceEnabled {
				t.Error("only the time limit stopped it")
			}
		})
	}
}

// watchHeap returns a function that says how far the heap has grown at most.
func watchHeap(t *testing.T) func() uint64 {
	runtime.GC()
	debug.FreeOSMemory()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapAlloc))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-stopped
		return max(peak.Load(), before.HeapAlloc) - before.HeapAlloc
	}
}
