package inbox_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/sinktest"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/state"
)

// endless is a log that keeps everything.
type endless struct{}

func (endless) Bounds(context.Context, string) (map[int32]bus.Span, error) {
	all := map[int32]bus.Span{}
	for p := range int32(12) {
		all[p] = bus.Span{To: math.MaxInt64}
	}
	return all, nil
}

// TestContract gives each alert a group of its own, by which it is found. The
// view has no other side that could be away but its file.
func TestContract(t *testing.T) {
	dir := t.TempDir()
	var view *inbox.Inbox
	var db *state.DB
	stop := func(t testing.TB) {
		if db != nil {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
		db = nil
	}
	sinktest.Check(t, sinktest.Case{
		New: func(t testing.TB) client.Sink {
			stop(t)
			var err error
			if view, db, err = inboxOn(dir, endless{}); err != nil {
				t.Fatal(err)
			}
			return view
		},
		Input: bus.TopicAlerts,
		Value: func(_ int, id string) string { return string(alertRecord(spec{id: id, group: id}).Value) },
		Bad:   `{"decoder":{"alert":`,
		Stored: func(t testing.TB) map[string]int {
			defer stop(t)
			found := map[string]int{}
			for f := (inbox.Filter{Limit: 100}); ; {
				page, err := view.List(t.Context(), f)
				if err != nil {
					t.Fatal(fmt.Errorf("listing: %w", err))
				}
				for _, g := range page.Groups {
					found[g.Group] += int(g.Count)
				}
				if f.Cursor = page.Cursor; f.Cursor == "" {
					return found
				}
			}
		},
	})
}
