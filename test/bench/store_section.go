package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store"
	"github.com/decodersring/decoder/internal/store/vlogs"
)

// storeSection measures the embedded store alone, and SQLite with FTS5 beside
// it on the same events.
func storeSection() section {
	return section{"store", "the embedded store, and SQLite with FTS5", benchStore}
}

type storeFigures struct {
	rate, bytes float64       // events a second; bytes an event
	cpu         time.Duration // of the process, an event, without making it
	memory      int64         // the most the process had until all was stored, in bytes
	queries     map[string]time.Duration
}

// storeAims are the times a query may take, in the order they are printed.
var storeAims = []struct {
	name string
	aim  time.Duration
}{
	{"newest 100 alerts", 10 * time.Millisecond},
	{"full text, a rare word", 150 * time.Millisecond},
	{"histogram by minute", 100 * time.Millisecond},
	{"top 10 of a field", 100 * time.Millisecond},
	{"count of all", 100 * time.Millisecond},
}

func benchStore(ctx context.Context, r *report) error {
	n, peer := 2_000_000, 200_000
	if r.short {
		n, peer = 200_000, 20_000
	}
	ours, err := benchVlogs(ctx, n)
	if err != nil {
		return err
	}
	same, err := benchVlogs(ctx, peer)
	if err != nil {
		return err
	}
	lite, err := benchSQLite(ctx, peer)
	if err != nil {
		return err
	}
	r.add(fmt.Sprintf("ingest of %d events", n), fmt.Sprintf("%.0f/s", ours.rate), "100000/s", fmt.Sprintf("%.2f", ours.rate/100_000))
	r.add("processor time an event", ours.cpu.String(), "20µs on two cores", fmt.Sprintf("%.2f", float64(20*time.Microsecond)/float64(ours.cpu)))
	r.add("bytes an event on disk", fmt.Sprintf("%.0f", ours.bytes), fmt.Sprintf("SQLite %.0f", lite.bytes), fmt.Sprintf("%.2f", lite.bytes/ours.bytes))
	r.add("most memory of the process during ingest", fmt.Sprintf("%d MB", ours.memory>>20), "300 MB", fmt.Sprintf("%.2f", float64(300<<20)/float64(ours.memory)))
	for _, q := range storeAims {
		took := ours.queries[q.name]
		r.add(fmt.Sprintf("%s, of %d", q.name, n), took.Round(10*time.Microsecond).String(), q.aim.String(), fmt.Sprintf("%.2f", float64(q.aim)/float64(took)))
	}
	r.add(fmt.Sprintf("ingest of %d events", peer), fmt.Sprintf("%.0f/s", same.rate), fmt.Sprintf("SQLite %.0f/s", lite.rate), fmt.Sprintf("%.2f", same.rate/lite.rate))
	for _, q := range storeAims {
		a, b := same.queries[q.name], lite.queries[q.name]
		r.add(fmt.Sprintf("%s, of %d", q.name, peer), a.Round(10*time.Microsecond).String(), "SQLite "+b.Round(10*time.Microsecond).String(), fmt.Sprintf("%.2f", float64(b)/float64(a)))
	}
	return nil
}

func benchVlogs(ctx context.Context, n int) (f storeFigures, err error) {
	dir, err := os.MkdirTemp("", "decoder-bench-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(224 << 20))
	s, err := vlogs.New(vlogs.Config{Dir: dir, MinFreeBytes: -1}, obs.Scope{})
	if err != nil {
		return f, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); err = joined(err, <-ended) }()

	making := cpuTime()
	newStoreEvents(20_000, time.Hour).batch(20_000)
	making = (cpuTime() - making) / 20_000
	start, used := time.Now(), cpuTime()
	if err := ingest(ctx, s, newStoreEvents(n, 24*time.Hour), n); err != nil {
		return f, err
	}
	f.rate = float64(n) / time.Since(start).Seconds()
	f.memory = peakMemory()
	f.cpu = (cpuTime()-used)/time.Duration(n) - making
	st, err := s.Stats(ctx)
	if err != nil {
		return f, err
	}
	if st.Documents != uint64(n) {
		return f, fmt.Errorf("%d documents stored of %d", st.Documents, n)
	}
	f.bytes = float64(st.Bytes) / float64(n)
	f.queries, err = timeQueries(ctx, s)
	return f, err
}

func joined(a, b error) error {
	if a == nil {
		return b
	}
	return a
}

// ingest writes as the sink does: two partitions at a time, a barrier now and
// then.
func ingest(ctx context.Context, s *vlogs.Store, events *storeEvents, n int) error {
	const batch = 2000
	batches := make(chan []store.Doc, 2)
	failed := make(chan error, 4)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for docs := range batches {
				if err := s.Write(ctx, docs); err != nil {
					failed <- err
				}
			}
		})
	}
	flushed := time.Now()
	for left := n; left > 0 && len(failed) == 0; left -= batch {
		batches <- events.batch(min(batch, left))
		if time.Since(flushed) > 5*time.Second {
			if err := s.Flush(ctx); err != nil {
				failed <- err
			}
			s.Committed()
			flushed = time.Now()
		}
	}
	close(batches)
	wg.Wait()
	if len(failed) > 0 {
		return <-failed
	}
	return s.Flush(ctx)
}

func timeQueries(ctx context.Context, s *vlogs.Store) (map[string]time.Duration, error) {
	alerts, err := store.Parse("event.dataset:suricata.alert")
	if err != nil {
		return nil, err
	}
	rare, err := store.Parse(storeRare)
	if err != nil {
		return nil, err
	}
	out := map[string]time.Duration{}
	for name, ask := range map[string]func() (int, error){
		"newest 100 alerts": func() (int, error) {
			p, err := s.Search(ctx, store.Search{Query: alerts, Limit: 100})
			return len(p.Docs), err
		},
		"full text, a rare word": func() (int, error) {
			p, err := s.Search(ctx, store.Search{Query: rare, Limit: 100})
			return len(p.Docs), err
		},
		"histogram by minute": func() (int, error) {
			h, err := s.Histogram(ctx, nil, store.Range{}, time.Minute, "")
			return len(h[""]), err
		},
		"top 10 of a field": func() (int, error) {
			b, err := s.Facet(ctx, nil, store.Range{}, "destination.port", 10)
			return len(b), err
		},
		"count of all": func() (int, error) {
			n, err := s.Count(ctx, nil, store.Range{})
			return int(n), err
		},
	} {
		if out[name], err = median(ask); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

// median is the time of the middle one of five calls; each must find
// something.
func median(ask func() (int, error)) (time.Duration, error) {
	var took []time.Duration
	for range 5 {
		start := time.Now()
		n, err := ask()
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, errors.New("nothing was found")
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[2], nil
}

// cpuTime is the processor time the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most the process has had in memory, in bytes.
func peakMemory() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kb int64
	if _, rest, ok := strings.Cut(string(b), "VmHWM:"); ok {
		_, _ = fmt.Sscan(rest, &kb)
	}
	return kb << 10
}
