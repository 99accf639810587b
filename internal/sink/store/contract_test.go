package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/sinktest"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store"
	"github.com/decodersring/decoder/internal/store/vlogs"
)

// reopening is the embedded store, which can be closed and opened again under
// the sink.
type reopening struct {
	dir  string
	mu   sync.Mutex
	s    *vlogs.Store
	stop func()
}

func (r *reopening) open(t testing.TB) {
	t.Helper()
	s, err := vlogs.New(vlogs.Config{Dir: r.dir, MinFreeBytes: -1}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("opening the store: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s, r.stop = s, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("running the store: %v", err)
		}
	}
}

func (r *reopening) close() {
	r.mu.Lock()
	stop := r.stop
	r.stop = nil
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (r *reopening) store() *vlogs.Store {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s
}

func (r *reopening) Write(ctx context.Context, docs []store.Doc) error {
	return r.store().Write(ctx, docs)
}
func (r *reopening) Test(ctx context.Context, d store.Doc) error { return r.store().Test(ctx, d) }
func (r *reopening) Flush(ctx context.Context) error             { return r.store().Flush(ctx) }
func (r *reopening) Committed()                                  { r.store().Committed() }
func (r *reopening) Check(ctx context.Context) error             { return r.store().Check(ctx) }

func TestTheSinkKeepsTheContractOnTheEmbeddedStore(t *testing.T) {
	r := &reopening{dir: t.TempDir()}
	warmUp(t)
	base := time.Now().UTC().Add(-time.Hour)
	sinktest.Check(t, sinktest.Case{
		New: func(t testing.TB) client.Sink {
			r.close()
			r.open(t)
			return New(r)
		},
		Input: "events",
		Value: func(i int, id string) string {
			return fmt.Sprintf(`{"@timestamp":"%s","event":{"id":"%s","module":"m"},"n":%d}`, base.Add(time.Duration(i)*time.Second).Format(time.RFC3339Nano), id, i)
		},
		Bad:    `{"@timestamp":`,
		Break:  func(testing.TB) { r.close() },
		Mend:   func(t testing.TB) { r.open(t) },
		Stored: func(t testing.TB) map[string]int { defer r.close(); return stored(t, r.store()) },
	})
}

// warmUp uses a store, for what the library then starts for the process.
func warmUp(t *testing.T) {
	t.Helper()
	r := &reopening{dir: t.TempDir()}
	r.open(t)
	defer r.close()
	doc := store.Doc{ID: "a", Time: time.Now(), JSON: []byte(`{"a":1}`)}
	if err := r.Write(t.Context(), []store.Doc{doc}); err != nil {
		t.Fatal(err)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(stored(t, r.store())); n != 1 {
		t.Fatalf("%d documents stored, want 1", n)
	}
}

func stored(t testing.TB, s *vlogs.Store) map[string]int {
	t.Helper()
	ids := map[string]int{}
	q := store.Search{Limit: 100}
	for {
		page, err := s.Search(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range page.Docs {
			var d struct{ Event struct{ ID string } }
			if err := json.Unmarshal(doc, &d); err != nil {
				t.Fatal(err)
			}
			ids[d.Event.ID]++
		}
		if q.Cursor = page.Cursor; q.Cursor == "" {
			return ids
		}
	}
}
