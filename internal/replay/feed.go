package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/source/batch"
)

// meta stands beside the EVE file of a capture the engine is done with.
type meta struct {
	Origin  string  `json:"origin"` // of its records, without the line
	Rules   string  `json:"rules"`  // hash of rules and configuration
	Round   int     `json:"round"`
	Capture Capture `json:"capture"`
	Loading Loading `json:"loading,omitzero"` // of the rules
	// Whole says that the engine gave all it ever gives for the capture, and
	// Short why that is not all of it.
	Whole bool   `json:"whole,omitempty"`
	Short string `json:"short,omitempty"`
	// Known says that the capture was replayed before and is not fed again;
	// Found is what it gave.
	Known bool `json:"known,omitempty"`
	Found fed  `json:"found,omitzero"`
}

// fed is what feeding an EVE file gave.
type fed struct {
	Lines          int64
	Events, Alerts map[string]int
	Ends           map[int32]int64
	Refused        int // lines the log will never take
}

// feed appends every line of the EVE file in dir to the log, its statistics
// left out, and returns when the log has acknowledged all.
func (r *Replayer) feed(ctx context.Context, dir string, m meta) (fed, error) {
	f, err := os.Open(filepath.Join(dir, "eve.json"))
	if errors.Is(err, os.ErrNotExist) {
		return fed{}, nil // nothing was found, not even statistics
	}
	if err != nil {
		return fed{}, fmt.Errorf("feeding a capture: %w", err)
	}
	defer f.Close()
	key := m.Origin
	b := batch.New(batch.Options{
		Topic: r.opts.Topic, Key: []byte(key),
		Headers: []bus.Header{{Key: event.HeaderCapture, Value: []byte(m.Capture.Name)}},
	})
	out := fed{Events: map[string]int{}, Alerts: map[string]int{}, Ends: map[int32]int64{}}
	flush := func() error {
		records := b.Records()
		refused, err := batch.Append(ctx, r.deps.Log, r.deps.Scope, component, records)
		if err != nil {
			return fmt.Errorf("feeding a capture: %w", err)
		}
		out.Refused += len(refused)
		for _, rec := range records {
			if !slices.Contains(refused, rec) {
				out.Ends[rec.Partition] = max(out.Ends[rec.Partition], rec.Offset+1)
			}
		}
		b.Reset()
		return nil
	}
	err = eachLine(f, func(text []byte) error {
		kind := eventType(text)
		if kind == "stats" {
			return nil
		}
		out.Events[kind]++
		if kind == "alert" {
			out.Alerts[signature(text)]++
		}
		b.Add(m.Origin, out.Lines, text)
		out.Lines++
		if b.Full() {
			return flush()
		}
		return nil
	})
	if err == nil && b.Len() > 0 {
		err = flush()
	}
	return out, err
}

// eachLine calls do for every line of an EVE file. One the engine did not end
// with a newline counts too.
func eachLine(r io.Reader, do func([]byte) error) error {
	var (
		lines batch.Lines
		buf   = make([]byte, 256<<10)
		emit  = func(l batch.Line) error { return do(l.Text) }
	)
	for {
		n, err := r.Read(buf)
		if err := lines.Feed(buf[:n], emit); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return lines.Last(emit)
		}
		if err != nil {
			return fmt.Errorf("reading an EVE file: %w", err)
		}
	}
}

var eventTypeKey = []byte(`"event_type":"`)

// eventType returns the event_type of an EVE line. The engine writes it before
// everything that comes from a packet, and quotes within strings are escaped,
// so the first occurrence is the member itself.
func eventType(line []byte) string {
	_, rest, found := bytes.Cut(line, eventTypeKey)
	value, _, ended := bytes.Cut(rest, []byte{'"'})
	if !found || !ended || len(value) > 64 {
		return "unknown"
	}
	return string(value)
}

func signature(line []byte) string {
	var e struct {
		Alert struct {
			ID int64 `json:"signature_id"`
		} `json:"alert"`
	}
	_ = json.Unmarshal(line, &e)
	return strconv.FormatInt(e.Alert.ID, 10)
}

// packetsRead returns the number of packets the engine counted, from the last
// statistics in the EVE file, which it writes when it is done with a capture.
func packetsRead(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	packets, seen := int64(0), false
	err = eachLine(f, func(line []byte) error {
		if eventType(line) != "stats" {
			return nil
		}
		var e struct {
			Stats struct {
				Decoder struct {
					Packets int64 `json:"pkts"`
				} `json:"decoder"`
			} `json:"stats"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		packets, seen = e.Stats.Decoder.Packets, true
		return nil
	})
	if err == nil && !seen {
		err = errors.New("the engine left no statistics")
	}
	return packets, err
}
