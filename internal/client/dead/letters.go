package dead

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// ErrNotFound is returned for a place that holds no letter, or no more.
var ErrNotFound = errors.New("there is no dead letter at that place")

// State is what became of a letter.
type State string

// The states of a letter. Nobody has decided over an open one yet.
const (
	Open      State = "open"
	Resent    State = "resent"
	Discarded State = "discarded"
)

// Decision is a record of the topic dead_state, keyed by the letter's place.
type Decision struct {
	State State     `json:"state"`
	By    string    `json:"by"`
	At    time.Time `json:"at"`
	Note  string    `json:"note,omitempty"`
}

// Entry is a letter with what was decided over it.
type Entry struct {
	Letter
	Decided Decision
}

// Letters is the way to the dead letters of all clients. Its methods may be
// called concurrently.
type Letters struct{ bus *bus.Bus }

// New returns the way to the dead letters on a log.
func New(b *bus.Bus) *Letters { return &Letters{bus: b} }

// Filter chooses letters. Its zero value chooses every open one.
type Filter struct {
	Client string
	Code   string
	From   time.Time // of the last failure; zero bounds are open
	To     time.Time
	Text   string  // in the error, the key or the value, whatever its case
	States []State // none: Open
}

func (f Filter) matches(e *Entry) bool {
	states := f.States
	if len(states) == 0 {
		states = []State{Open}
	}
	switch {
	case f.Client != "" && e.Client != f.Client,
		f.Code != "" && e.Code != f.Code,
		!f.From.IsZero() && e.Last.Before(f.From),
		!f.To.IsZero() && !e.Last.Before(f.To),
		!slices.Contains(states, e.Decided.State):
		return false
	}
	return f.Text == "" || f.hasText(e)
}

func (f Filter) hasText(e *Entry) bool {
	text := strings.ToLower(f.Text)
	return strings.Contains(strings.ToLower(e.Error), text) ||
		bytes.Contains(bytes.ToLower(e.Record.Key), []byte(text)) ||
		bytes.Contains(bytes.ToLower(e.Record.Value), []byte(text))
}

// Group is letters of one client and code.
type Group struct {
	Client string    `json:"client"`
	Code   string    `json:"error_code"`
	Error  string    `json:"error"` // of the latest letter
	Count  int       `json:"count"`
	First  time.Time `json:"first_failed_at"`
	Last   time.Time `json:"last_failed_at"`
}

// Groups counts the letters chosen by client and code, most first.
func (l *Letters) Groups(ctx context.Context, f Filter) ([]Group, error) {
	groups := map[[2]string]*Group{}
	err := l.Each(ctx, f, func(e Entry) bool {
		key := [2]string{e.Client, e.Code}
		g := groups[key]
		if g == nil {
			g = &Group{Client: e.Client, Code: e.Code, First: e.First}
			groups[key] = g
		}
		g.Count++
		if e.First.Before(g.First) {
			g.First = e.First
		}
		if !e.Last.Before(g.Last) {
			g.Last, g.Error = e.Last, e.Error
		}
		return true
	})
	var all []Group
	for _, g := range groups {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Code, b.Code))
	})
	return all, err
}

// Each calls take for every letter chosen, oldest first within a partition,
// until it returns false. Of copies of a letter only the first counts.
func (l *Letters) Each(ctx context.Context, f Filter, take func(Entry) bool) error {
	decided, err := l.decisions(ctx)
	if err != nil {
		return err
	}
	topics, err := l.topics(ctx, f)
	if err != nil {
		return err
	}
	for _, topic := range topics {
		bounds, err := l.bus.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		more, seen := true, map[[16]byte]bool{}
		err = l.bus.Scan(ctx, topic, bounds, func(r *bus.Record) bool {
			e := entry(r, decided)
			if key := e.copyKey(r); !seen[key] {
				seen[key] = true
				if f.matches(&e) {
					more = take(e)
				}
			}
			return more
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// List returns the letters chosen, latest first, at most so many, and of those
// only what failed before the entry given; nil begins with the latest.
func (l *Letters) List(ctx context.Context, f Filter, most int, before *Entry) ([]Entry, error) {
	var all []Entry
	err := l.Each(ctx, f, func(e Entry) bool {
		if before != nil && later(*before, e) >= 0 {
			return true
		}
		if all = append(all, e); len(all) > 2*most+100 {
			slices.SortFunc(all, later)
			all = slices.Delete(all, most, len(all))
		}
		return true
	})
	slices.SortFunc(all, later)
	return all[:min(most, len(all))], err
}

// later orders entries, latest first.
func later(a, b Entry) int {
	return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(b.At.String(), a.At.String()))
}

// copyKey is the same for copies of one letter: a client that dies between
// burying a record and committing that it did, buries it again.
func (l Letter) copyKey(r *bus.Record) [16]byte {
	h := sha256.New()
	if l.Origin == "" { // no client's
		fmt.Fprintf(h, "%s/%d/%d", r.Topic, r.Partition, r.Offset)
	} else {
		fmt.Fprintf(h, "%s\x00%d\x00%s", l.Client, len(l.History), l.Origin)
	}
	return [16]byte(h.Sum(nil))
}

func (l *Letters) topics(ctx context.Context, f Filter) ([]string, error) {
	names, err := l.bus.TopicNames(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool {
		client := bus.DeadClient(name)
		return client == "" || (f.Client != "" && client != f.Client)
	}), nil
}

func entry(r *bus.Record, decided map[string]Decision) Entry {
	e := Entry{Letter: Read(r), Decided: Decision{State: Open}}
	if d, ok := decided[e.At.String()]; ok {
		e.Decided = d
	}
	return e
}

// decisions reads the topic dead_state; the last of a key counts.
func (l *Letters) decisions(ctx context.Context) (map[string]Decision, error) {
	bounds, err := l.bus.Bounds(ctx, bus.TopicDeadState)
	if err != nil {
		return nil, err
	}
	decided := map[string]Decision{}
	err = l.bus.Scan(ctx, bus.TopicDeadState, bounds, func(r *bus.Record) bool {
		var d Decision
		if json.Unmarshal(r.Value, &d) == nil && d.State != "" {
			decided[string(r.Key)] = d
		}
		return true
	})
	return decided, err
}

// Show returns the letter at a place.
func (l *Letters) Show(ctx context.Context, at Place) (Entry, error) {
	r, err := l.bus.At(ctx, bus.Partition{Topic: at.Topic, Partition: at.Partition}, at.Offset)
	if err != nil {
		return Entry{}, err
	}
	if r == nil {
		return Entry{}, fmt.Errorf("%w: %s", ErrNotFound, at)
	}
	decided, err := l.decisions(ctx)
	if err != nil {
		return Entry{}, err
	}
	return entry(r, decided), nil
}
