package suricata

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/source/batch"
)

// watch is what is kept on disk of the watching: until when the interface was
// watched, and why it is not now.
type watch struct {
	Version int       `json:"version"`
	Until   time.Time `json:"until"` // last known to be watched; zero before the first time
	Reason  string    `json:"reason,omitempty"`
}

const watchVersion = 1

func readWatch(path string) watch {
	var w watch
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &w) != nil || w.Version > watchVersion {
		return watch{}
	}
	return w
}

func (w watch) write(path string) error {
	w.Version = watchVersion
	b, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("noting the watch: %w", err)
	}
	return atomicfile.Write(path, append(b, '\n'))
}

// gap is a time in which nothing was watched.
type gap struct {
	start, end time.Time
	reason     string
}

// record returns the line that tells of a gap. The same gap always has the
// same origin.
func (g gap) record(topic, sensor, iface string) *bus.Record {
	type body struct {
		Start   string  `json:"start"`
		End     string  `json:"end"`
		Seconds float64 `json:"seconds"`
		Reason  string  `json:"reason"`
	}
	value, _ := json.Marshal(struct {
		Timestamp string `json:"timestamp"`
		Type      string `json:"event_type"`
		Interface string `json:"in_iface"`
		Gap       body   `json:"decoder_gap"`
	}{
		g.end.UTC().Format("2006-01-02T15:04:05.000000-0700"), "decoder_gap", iface,
		body{
			g.start.UTC().Format(time.RFC3339Nano), g.end.UTC().Format(time.RFC3339Nano),
			g.end.Sub(g.start).Seconds(), g.reason,
		},
	})
	origin := "suricata:gap-" + sensor + "-" + iface + ":" + strconv.FormatInt(g.start.UnixMicro(), 10)
	return &bus.Record{
		Topic: topic, Key: []byte(sensor), Value: value,
		Headers: []bus.Header{{Key: event.HeaderOrigin, Value: []byte(origin)}},
	}
}

func (s *Source) watchPath() string { return filepath.Join(s.opts.Dir, "watch.json") }

// noteEvery is how exactly the end of the watching is known after a sudden
// end of the machine.
const noteEvery = 2 * time.Second

// watchLoop notes until when the interface was watched, and tells the log of
// every gap. A gap is on the log before its note is overwritten.
func (s *Source) watchLoop(ctx context.Context) error {
	w := readWatch(s.watchPath())
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	watching, failing := false, false
	for {
		select {
		case <-ctx.Done():
			if !watching {
				return nil
			}
			w.Until, w.Reason = time.Now(), "decoder was stopped"
			return w.write(s.watchPath())
		case change := <-s.changes:
			if watching = change.watching; watching {
				if err := s.tellGap(ctx, w, change); err != nil {
					return err
				}
				w.Reason = ""
			} else if w.Reason == "" || change.watched {
				w.Reason = change.reason
			}
			if change.watching || change.watched {
				w.Until = change.at
			}
		case now := <-tick.C:
			if !watching {
				continue
			}
			w.Until = now
		}
		if err := w.write(s.watchPath()); (err != nil) != failing {
			if failing = err != nil; failing {
				s.deps.Scope.Logger().Error("end of the watch cannot be noted, will retry", "error", err)
			}
		}
	}
}

// change is that the engine began or ceased to watch.
type change struct {
	watching bool
	adopted  bool // it begins, and had been watching all along
	watched  bool // it ceases, and had been watching until now
	at       time.Time
	reason   string
}

func (s *Source) tellGap(ctx context.Context, w watch, c change) error {
	if w.Until.IsZero() || c.adopted {
		return nil
	}
	g := gap{start: w.Until, end: c.at, reason: w.Reason}
	if g.reason == "" {
		g.reason = "no engine was running"
	}
	s.deps.Scope.Logger().Warn("interface was not watched", "interface", s.opts.Interface, "from", g.start, "to", g.end, "reason", g.reason)
	_, err := batch.Append(ctx, s.deps.Log, s.deps.Scope, component, []*bus.Record{g.record(s.opts.Topic, s.opts.Sensor, s.opts.Interface)})
	if err != nil && ctx.Err() != nil {
		return nil // it is told at the next start: the note stands
	}
	return err
}
