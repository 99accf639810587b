// Package bustest opens logs for tests: embedded ones in a temporary folder,
// and reads back what was appended. It knows no format.
package bustest

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
)

// brokersVariable names a log to test against instead of an embedded one. All
// its topics and groups are deleted.
const brokersVariable = "DECODER_TEST_BROKERS"

// Open opens an embedded log in a folder of the test and closes it at the
// test's end.
func Open(t testing.TB) *bus.Bus {
	t.Helper()
	if brokers := os.Getenv(brokersVariable); brokers != "" {
		config := bus.Config{Brokers: strings.Split(brokers, ",")}
		empty(t, config)
		return OpenConfig(t, config)
	}
	return OpenConfig(t, bus.Config{Dir: t.TempDir(), Relaxed: true})
}

// OpenConfig opens the log the configuration names.
func OpenConfig(t testing.TB, config bus.Config) *bus.Bus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	scope := obs.Scope{Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	b, err := bus.Open(ctx, config, scope)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// empty deletes all topics and groups, so that a test finds a log as if new.
func empty(t testing.TB, config bus.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := bus.Open(ctx, config, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.DeleteAll(ctx); err != nil {
		t.Fatal(err)
	}
}

// All returns every record a topic holds, partition after partition.
func All(t testing.TB, b *bus.Bus, topic string) []*bus.Record {
	t.Helper()
	bounds, err := b.Bounds(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var all []*bus.Record
	for p, span := range bounds {
		if err := b.Scan(t.Context(), topic, map[int32]bus.Span{p: span}, func(r *bus.Record) bool {
			all = append(all, r)
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Follow calls take for each record of a topic from its beginning, as they
// are appended, until take returns false, and fails the test when that takes
// longer than the patience.
func Follow(t testing.TB, b *bus.Bus, topic string, patience time.Duration, take func(*bus.Record) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	satisfied := false
	err := b.Tail(ctx, topic, 1<<40, true, func(r *bus.Record) bool {
		satisfied = !take(r)
		return !satisfied
	})
	if err != nil {
		t.Fatal(err)
	}
	if !satisfied {
		t.Fatalf("topic %s did not get what was waited for within %s", topic, patience)
	}
}
