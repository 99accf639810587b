// Package rerun runs a stage again over what the log still holds, apart from
// the live run: under a consumer group of its own, and with everything it
// makes on the topic reruns. Live offsets, alerts and notifications are not
// touched. It knows no stage.
package rerun

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// Headers of records on the topic reruns.
const (
	HeaderRun    = "decoder-rerun"       // id of the run
	HeaderLiveID = "decoder-rerun-live"  // id the document has in the live run
	HeaderTopic  = "decoder-rerun-topic" // where the live run appends it
	HeaderKind   = "decoder-rerun-kind"  // one of the kinds below
	kindDocument = "document"            // made by the stage
	kindFailure  = "failure"             // a record the stage could not handle
	kindState    = "state"               // a Run, as it stands
	kindOf       = "rerun"               // of ids
	deadLetters  = "rerun"               // of all runs
	groupPrefix  = "decoder-rerun-"
)

// State says what became of a run.
type State string

// The states of a run.
const (
	Running   State = "running"
	Done      State = "done"
	Cancelled State = "cancelled"
)

// Run is one run of a stage over a part of the log.
type Run struct {
	ID      string    `json:"id"`
	Stage   string    `json:"stage"`
	Inputs  []string  `json:"inputs"`
	Outputs []string  `json:"outputs"`
	From    time.Time `json:"from"` // of the records' time on the log
	Note    string    `json:"note,omitempty"`
	By      string    `json:"by,omitempty"`
	Started time.Time `json:"started_at"`
	Changed time.Time `json:"changed_at"`
	State   State     `json:"state"`
	Spans   []Span    `json:"spans"`
}

// Span is the part of one partition the run reads.
type Span struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
}

// Progress is how far a run has come, in records.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// Reruns keeps the runs on a log.
type Reruns struct {
	bus     *bus.Bus
	runtime *client.Runtime
}

// New returns the way to the runs; those started in this process run in the
// runtime.
func New(b *bus.Bus, r *client.Runtime) *Reruns { return &Reruns{bus: b, runtime: r} }

// Begin notes a new run of a stage over what its inputs hold from the time
// given up to now. Nothing runs before Continue.
func (r *Reruns) Begin(ctx context.Context, spec client.Spec, from time.Time, by, note string) (Run, error) {
	run := Run{
		ID: strings.ToLower(rand.Text()[:12]), Stage: spec.Name, Inputs: spec.Inputs, Outputs: spec.Outputs,
		From: from.UTC(), By: by, Note: note, Started: time.Now().UTC(), State: Running,
	}
	start := map[bus.Partition]int64{}
	for _, topic := range spec.Inputs {
		spans, err := r.bus.After(ctx, topic, from)
		if err != nil {
			return run, err
		}
		for p, s := range spans {
			run.Spans = append(run.Spans, Span{Topic: topic, Partition: p, From: s.From, To: s.To})
			start[bus.Partition{Topic: topic, Partition: p}] = s.From
		}
	}
	if err := r.bus.SetCommitted(ctx, run.group(), start); err != nil {
		return run, err
	}
	return run, r.note(ctx, &run)
}

// Continue runs a run, from where it stands, until it has read all it shall
// read or ctx ends; then it can be continued. The spec's stage must be an
// instance of its own, not the live one.
func (r *Reruns) Continue(ctx context.Context, run Run, spec client.Spec) error {
	if spec.Stage == nil || spec.Name != run.Stage {
		return fmt.Errorf("run %s is one of stage %s", run.ID, run.Stage)
	}
	again := &stage{inner: spec.Stage, run: run.ID, until: run.ends()}
	if checker, ok := spec.Stage.(client.Checker); ok {
		again.Checker = checker
	}
	own := spec
	own.Name, own.Group, own.Dead = "rerun-"+run.ID, run.group(), deadLetters
	own.Stage, own.Outputs = wrapped(again), []string{bus.TopicReruns}
	c, err := r.runtime.New(own)
	if err != nil {
		return err
	}
	defer r.runtime.Forget(c)
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	for {
		p, err := r.Progress(running, run)
		if err == nil && p.Done >= p.Total {
			break
		}
		select {
		case err := <-ended:
			return errors.Join(err, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	run.State = Done
	return r.note(ctx, &run)
}

// Cancel notes that a run shall not be continued. Who runs it ends its
// Continue.
func (r *Reruns) Cancel(ctx context.Context, run Run) error {
	run.State = Cancelled
	return r.note(ctx, &run)
}

// List returns the runs the log still knows, as they were last noted.
func (r *Reruns) List(ctx context.Context) ([]Run, error) {
	var order []string
	last := map[string]Run{}
	err := r.each(ctx, "", func(record *bus.Record) {
		var run Run
		if bus.Value(record, HeaderKind) != kindState || json.Unmarshal(record.Value, &run) != nil || run.ID == "" {
			return
		}
		if _, known := last[run.ID]; !known {
			order = append(order, run.ID)
		}
		if !run.Changed.Before(last[run.ID].Changed) {
			last[run.ID] = run
		}
	})
	runs := make([]Run, 0, len(order))
	for _, id := range order {
		runs = append(runs, last[id])
	}
	return runs, err
}

// Progress returns how far the run has come.
func (r *Reruns) Progress(ctx context.Context, run Run) (Progress, error) {
	at, err := r.bus.Committed(ctx, run.group())
	if err != nil {
		return Progress{}, err
	}
	var p Progress
	for _, s := range run.Spans {
		p.Total += s.To - s.From
		p.Done += min(max(at[bus.Partition{Topic: s.Topic, Partition: s.Partition}], s.From), s.To) - s.From
	}
	return p, nil
}

func (r *Reruns) note(ctx context.Context, run *Run) error {
	run.Changed = time.Now().UTC()
	value, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("noting run %s: %w", run.ID, err)
	}
	return r.bus.Append(ctx, &bus.Record{
		Topic: bus.TopicReruns, Key: []byte(run.ID), Value: value,
		Headers: []bus.Header{{Key: HeaderRun, Value: []byte(run.ID)}, {Key: HeaderKind, Value: []byte(kindState)}},
	})
}

// each calls take for the records of a run, or of all.
func (r *Reruns) each(ctx context.Context, id string, take func(*bus.Record)) error {
	bounds, err := r.bus.Bounds(ctx, bus.TopicReruns)
	if err != nil {
		return err
	}
	return r.bus.Scan(ctx, bus.TopicReruns, bounds, func(record *bus.Record) bool {
		if id == "" || bus.Value(record, HeaderRun) == id {
			take(record)
		}
		return true
	})
}

func (run Run) group() string { return groupPrefix + run.ID }

func (run Run) ends() map[bus.Partition]int64 {
	ends := map[bus.Partition]int64{}
	for _, s := range run.Spans {
		ends[bus.Partition{Topic: s.Topic, Partition: s.Partition}] = s.To
	}
	return ends
}

// stage runs another and sends all it makes to the topic reruns.
type stage struct {
	client.Checker
	inner client.Stage
	run   string
	until map[bus.Partition]int64
}

// wrapped hides the checker of a stage that has none.
func wrapped(s *stage) client.Stage {
	if s.Checker == nil {
		return struct{ client.Stage }{s}
	}
	return s
}

// Handle implements [client.Stage].
func (s *stage) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	if in.Resent || in.Offset >= s.until[bus.Partition{Topic: in.Topic, Partition: in.Partition}] {
		return nil
	}
	made, err := client.TryFrom(ctx, s.inner, in)
	if err != nil {
		if e := fault.Of(err); e.Class == fault.Permanent {
			s.fails(in, e, out)
			return nil
		}
		return err
	}
	for i, r := range made {
		live := bus.Value(r, event.HeaderID)
		if live == "" {
			live = event.ID(in.Origin, r.Topic, i)
		}
		id := event.ID(s.run+":"+live, kindOf, 0)
		headers := []bus.Header{
			{Key: HeaderRun, Value: []byte(s.run)}, {Key: HeaderKind, Value: []byte(kindDocument)},
			{Key: HeaderLiveID, Value: []byte(live)}, {Key: HeaderTopic, Value: []byte(r.Topic)},
			{Key: event.HeaderID, Value: []byte(id)},
		}
		if t := bus.Value(r, event.HeaderTime); t != "" {
			headers = append(headers, bus.Header{Key: event.HeaderTime, Value: []byte(t)})
		}
		out.Emit(bus.TopicReruns, r.Key, s.marked(r.Value, id), headers...)
	}
	return nil
}

func (s *stage) fails(in *client.Record, e *fault.Error, out *client.Output) {
	value, err := json.Marshal(map[string]any{"error": e.Err.Error(), "error_code": e.Code, "origin": in.Origin,
		"topic": in.Topic, "partition": in.Partition, "offset": in.Offset})
	if err != nil {
		value = nil // texts and numbers always marshal
	}
	out.Emit(bus.TopicReruns, in.Key, value,
		bus.Header{Key: HeaderRun, Value: []byte(s.run)}, bus.Header{Key: HeaderKind, Value: []byte(kindFailure)})
}

// marked returns the document with its id in this run and the run's id, so
// that a store shows it apart. What is no JSON object stays as it is.
func (s *stage) marked(value []byte, id string) []byte {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var document map[string]any
	if decoder.Decode(&document) != nil || document == nil {
		return value
	}
	own, _ := document["decoder"].(map[string]any)
	if own == nil {
		own = map[string]any{}
	}
	own["rerun"] = map[string]any{"id": s.run}
	document["decoder"] = own
	if e, is := document["event"].(map[string]any); is {
		e["id"] = id
	}
	marked, err := json.Marshal(document)
	if err != nil {
		return value
	}
	return marked
}
