package rerun

import (
	"context"
	"errors"
	"slices"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
)

// Bounds of a comparison.
const (
	// maxCompared bounds the documents held against each other, of which the
	// hashes are in memory, some 60 bytes each.
	maxCompared = 1_000_000
	// maxListed is how many of each kind of difference are shown.
	maxListed = 1000
)

// ErrTooMany means that a run and what the live run made are too much to be
// compared.
var ErrTooMany = errors.New("more than a million documents would have to be compared: run the stage again over less, with a later start")

// Difference is what a run made otherwise than the live run has.
type Difference struct {
	Same    int     `json:"same"`
	New     Changes `json:"new"`     // the run made them, the live run did not
	Gone    Changes `json:"gone"`    // the live run made them of the same records, the run did not
	Changed Changes `json:"changed"` // both made them, and they say other things
	Failed  int     `json:"failed"`  // records the stage could not handle in the run
}

// Changes are documents that differ in one way: how many, and the first of
// them.
type Changes struct {
	Count int      `json:"count"`
	First []Change `json:"first"`
}

// Change is one document that differs.
type Change struct {
	ID     string   `json:"id"` // in the live run
	Topic  string   `json:"topic"`
	Was    *Summary `json:"was,omitempty"`    // in the live run
	Now    *Summary `json:"now,omitempty"`    // in this run
	Fields []string `json:"fields,omitempty"` // that differ, some of them
}

// comparison holds documents against each other by the hashes of their ids.
type comparison struct {
	r       *Reruns
	run     Run
	made    map[uint64]*made
	gone    map[uint64]uint64 // id to origin
	failed  map[string]bool
	tooMany bool
}

type made struct {
	digest digest
	verdict
}

type verdict uint8

const (
	isNew verdict = iota
	isSame
	isChanged
)

// Compare compares a run with what the live run has appended, as far as the
// log still holds it.
func (r *Reruns) Compare(ctx context.Context, run Run) (Difference, error) {
	c := &comparison{r: r, run: run, made: map[uint64]*made{}, gone: map[uint64]uint64{}, failed: map[string]bool{}}
	err := r.each(ctx, run.ID, c.takeMade)
	for _, topic := range run.Outputs {
		if err == nil {
			err = c.live(ctx, topic, c.takeLive)
		}
	}
	if err == nil {
		err = c.keepRead(ctx)
	}
	if c.tooMany {
		err = ErrTooMany
	}
	if err != nil {
		return Difference{}, err
	}
	return c.describe(ctx)
}

// live calls take for the documents of a topic that the stage appended. Of a
// record from before records said who appended them, it is taken for granted.
func (c *comparison) live(ctx context.Context, topic string, take func(id string, r *bus.Record)) error {
	bounds, err := c.r.bus.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	return c.r.bus.Scan(ctx, topic, bounds, func(record *bus.Record) bool {
		id, by := bus.Value(record, event.HeaderID), bus.Value(record, event.HeaderStage)
		if id != "" && (by == "" || by == c.run.Stage) {
			take(id, record)
		}
		c.tooMany = c.tooMany || len(c.made)+len(c.gone) > maxCompared
		return !c.tooMany
	})
}

func (c *comparison) takeMade(record *bus.Record) {
	switch bus.Value(record, HeaderKind) {
	case kindDocument:
		if len(c.made) <= maxCompared { // what is too many is told in the end
			c.made[hash([]byte(bus.Value(record, HeaderLiveID)))] = &made{digest: parseDigest(bus.Value(record, headerDigest))}
		}
	case kindFailure:
		c.failed[bus.Value(record, event.HeaderID)] = true // again after a crash
	}
}

func (c *comparison) takeLive(id string, record *bus.Record) {
	key := hash([]byte(id))
	m := c.made[key]
	switch {
	case m == nil:
		c.gone[key] = hash([]byte(bus.Value(record, event.HeaderOrigin)))
	case m.digest.of(record.Value):
		m.verdict = isSame
	case m.verdict == isNew:
		m.verdict = isChanged
	}
}

// keepRead drops from those gone what was not made of records the run has
// read: of those the run says nothing.
func (c *comparison) keepRead(ctx context.Context) error {
	if len(c.gone) == 0 || c.tooMany {
		return nil
	}
	read := map[uint64]bool{} // of those wanted: whether it was read
	for _, origin := range c.gone {
		read[origin] = false
	}
	at, err := c.r.positions(ctx, c.run)
	if err != nil {
		return err
	}
	for _, topic := range c.run.Inputs {
		spans := map[int32]bus.Span{}
		for i, s := range c.run.Spans {
			if s.Topic == topic {
				spans[s.Partition] = bus.Span{From: s.From, To: at[i]}
			}
		}
		if err := c.read(ctx, topic, spans, read); err != nil {
			return err
		}
	}
	for id, origin := range c.gone {
		if !read[origin] {
			delete(c.gone, id)
		}
	}
	return nil
}

func (c *comparison) read(ctx context.Context, topic string, spans map[int32]bus.Span, read map[uint64]bool) error {
	id, err := c.r.bus.TopicID(ctx, topic)
	if err != nil {
		return err
	}
	return c.r.bus.Scan(ctx, topic, spans, func(record *bus.Record) bool {
		origin := bus.Value(record, event.HeaderOrigin)
		if origin == "" {
			origin = event.LogOrigin(id, record.Partition, record.Offset)
		}
		key := hash([]byte(origin))
		if _, wanted := read[key]; wanted {
			read[key] = true
		}
		return true
	})
}

// describe counts, and looks once more for the first documents of each kind.
func (c *comparison) describe(ctx context.Context) (Difference, error) {
	d := Difference{Failed: len(c.failed)}
	d.New.First, d.Gone.First, d.Changed.First = []Change{}, []Change{}, []Change{}
	listed := map[uint64]*described{}
	list := func(of *Changes, key uint64) {
		if of.Count++; of.Count <= maxListed {
			listed[key] = &described{of: of}
		}
	}
	for key, m := range c.made {
		switch m.verdict {
		case isNew:
			list(&d.New, key)
		case isSame:
			d.Same++
		case isChanged:
			list(&d.Changed, key)
		}
	}
	for key := range c.gone {
		list(&d.Gone, key)
	}
	if len(listed) == 0 {
		return d, nil
	}
	if err := c.r.each(ctx, c.run.ID, func(record *bus.Record) {
		if topic, is := Document(record); is {
			id := bus.Value(record, HeaderLiveID)
			listed[hash([]byte(id))].take(id, topic, record.Value, true)
		}
	}); err != nil {
		return d, err
	}
	for _, topic := range c.run.Outputs {
		if err := c.live(ctx, topic, func(id string, record *bus.Record) {
			listed[hash([]byte(id))].take(id, topic, record.Value, false)
		}); err != nil {
			return d, err
		}
	}
	for _, one := range listed {
		if one.ID != "" { // else retention has taken it in the meantime
			one.of.First = append(one.of.First, one.Change)
		}
	}
	for _, of := range []*Changes{&d.New, &d.Gone, &d.Changed} {
		slices.SortFunc(of.First, before)
	}
	return d, nil
}
