// Package rerun runs a stage again over what the log still holds, apart from
// the live run: under a consumer group of its own, and with everything it
// makes on the topic reruns. Live offsets, alerts and notifications are not
// touched. It knows no stage.
package rerun

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
)

// Headers of records on the topic reruns.
const (
	HeaderRun    = "decoder-rerun"        // id of the run
	HeaderLiveID = "decoder-rerun-live"   // id the document has in the live run
	HeaderTopic  = "decoder-rerun-topic"  // where the live run appends it
	HeaderKind   = "decoder-rerun-kind"   // one of the kinds below
	headerDigest = "decoder-rerun-digest" // of the document as the stage made it

	kindDocument   = "document"   // made by the stage
	kindFailure    = "failure"    // a record the stage could not handle
	kindState      = "state"      // a Run, as it stands
	kindAttachment = "attachment" // what the run was begun with, besides
	kindOf         = "rerun"      // of ids
	deadLetters    = "rerun"      // of all runs
	groupPrefix    = "decoder-rerun-"
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
	ID       string          `json:"id"`
	Stage    string          `json:"stage"`
	Inputs   []string        `json:"inputs"`
	Outputs  []string        `json:"outputs"`
	From     time.Time       `json:"from"` // of the records' time on the log
	Note     string          `json:"note,omitempty"`
	By       string          `json:"by,omitempty"`
	Settings json.RawMessage `json:"settings,omitempty"` // how the stage is made; who makes it knows
	Started  time.Time       `json:"started_at"`
	Changed  time.Time       `json:"changed_at"`
	State    State           `json:"state"`
	Spans    []Span          `json:"spans"`
}

// Span is the part of one partition the run reads.
type Span struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	At        int64  `json:"at"` // the next to be read, as of when the run was last noted
	To        int64  `json:"to"`
}

// Progress is how far a run has come, in records.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// Reruns keeps the runs on a log. Its methods may be called concurrently.
type Reruns struct {
	bus     *bus.Bus
	runtime *client.Runtime

	mu    sync.Mutex
	known map[string]noted
	order []string        // ids, as they were first noted
	next  map[int32]int64 // what of the topic has been looked through for runs
}

// noted is a run and where the log has its last note.
type noted struct {
	run       Run
	partition int32
	offset    int64
}

// New returns the way to the runs; those started in this process run in the
// runtime.
func New(b *bus.Bus, r *client.Runtime) *Reruns {
	return &Reruns{bus: b, runtime: r, known: map[string]noted{}, next: map[int32]int64{}}
}

// Request describes a new run.
type Request struct {
	Spec       client.Spec // name, inputs and outputs
	From       time.Time   // zero: all that the log holds
	By, Note   string
	Settings   any    // kept as JSON with the run
	Attachment []byte // kept beside the run, at most maxAttachment
}

// maxAttachment is what surely fits into one record.
const maxAttachment = 12 << 20

// Begin notes a new run of a stage over what its inputs hold from the time
// given up to now. Nothing runs before Continue.
func (r *Reruns) Begin(ctx context.Context, q Request) (Run, error) {
	run := Run{
		ID: strings.ToLower(rand.Text()[:12]), Stage: q.Spec.Name, Inputs: q.Spec.Inputs, Outputs: q.Spec.Outputs,
		From: q.From.UTC(), By: q.By, Note: q.Note, Started: time.Now().UTC(), State: Running,
	}
	var err error
	if run.Settings, err = json.Marshal(q.Settings); err != nil {
		return run, fmt.Errorf("beginning a rerun: %w", err)
	}
	if len(q.Attachment) > maxAttachment {
		return run, fmt.Errorf("beginning a rerun: what belongs to it has %d bytes, at most %d are kept", len(q.Attachment), maxAttachment)
	}
	for _, topic := range q.Spec.Inputs {
		spans, err := r.bus.After(ctx, topic, q.From)
		if err != nil {
			return run, err
		}
		for p, s := range spans {
			run.Spans = append(run.Spans, Span{Topic: topic, Partition: p, From: s.From, At: s.From, To: s.To})
		}
	}
	if q.Attachment != nil {
		if err := r.bus.Append(ctx, recordOf(run.ID, kindAttachment, q.Attachment)); err != nil {
			return run, err
		}
	}
	if err := r.place(ctx, run); err != nil {
		return run, err
	}
	return run, r.note(ctx, &run)
}

// place sets the run's group to where it stands.
func (r *Reruns) place(ctx context.Context, run Run) error {
	at := map[bus.Partition]int64{}
	for _, s := range run.Spans {
		at[bus.Partition{Topic: s.Topic, Partition: s.Partition}] = s.At
	}
	return r.bus.SetCommitted(ctx, run.group(), at)
}

// Attachment returns what the run was begun with, nil for nothing.
func (r *Reruns) Attachment(ctx context.Context, run Run) (attachment []byte, err error) {
	err = r.each(ctx, run.ID, func(record *bus.Record) {
		if bus.Value(record, HeaderKind) == kindAttachment {
			attachment = record.Value
		}
	})
	return attachment, err
}

// Continue runs a run, from where it stands, until it has read all it shall
// read or ctx ends; then it can be continued, as one that was cancelled can.
// The spec's stage must be an instance of its own, not the live one.
func (r *Reruns) Continue(ctx context.Context, run Run, spec client.Spec) error {
	if spec.Stage == nil || spec.Name != run.Stage {
		return fmt.Errorf("run %s is one of stage %s", run.ID, run.Stage)
	}
	if run.State == Cancelled {
		if err := r.place(ctx, run); err != nil {
			return err
		}
		run.State = Running
		if err := r.note(ctx, &run); err != nil {
			return err
		}
	}
	own := spec
	own.Name, own.Group, own.Dead = "rerun-"+run.ID, run.group(), deadLetters
	own.Stage, own.Outputs = again(spec.Stage, run), []string{bus.TopicReruns}
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
	return r.end(ctx, run, Done)
}

// Cancel notes that a run has been ended where it stands. Who runs it ends its
// Continue first.
func (r *Reruns) Cancel(ctx context.Context, run Run) error { return r.end(ctx, run, Cancelled) }

// end notes how far the run has come and lets go of its group, which nobody
// reads in any more and which would only be seen to fall behind.
func (r *Reruns) end(ctx context.Context, run Run, state State) error {
	at, err := r.positions(ctx, run)
	if err != nil {
		return err
	}
	run.State = state
	for i := range run.Spans {
		run.Spans[i].At = at[i]
	}
	if err := r.note(ctx, &run); err != nil {
		return err
	}
	// A group that cannot be deleted now does no harm but to be listed.
	_ = r.bus.DeleteGroup(ctx, run.group())
	return nil
}

// Progress returns how far the run has come.
func (r *Reruns) Progress(ctx context.Context, run Run) (Progress, error) {
	at, err := r.positions(ctx, run)
	if err != nil {
		return Progress{}, err
	}
	var p Progress
	for i, s := range run.Spans {
		p.Total += s.To - s.From
		p.Done += at[i] - s.From
	}
	return p, nil
}

// positions returns the next record to be read of each span. What retention
// has cut meanwhile counts as read: nobody will.
func (r *Reruns) positions(ctx context.Context, run Run) ([]int64, error) {
	out := make([]int64, len(run.Spans))
	committed := map[bus.Partition]int64{}
	bounds := map[string]map[int32]bus.Span{}
	if run.State == Running {
		var err error
		if committed, err = r.bus.Committed(ctx, run.group()); err != nil {
			return nil, err
		}
		for _, topic := range run.Inputs {
			if bounds[topic], err = r.bus.Bounds(ctx, topic); err != nil {
				return nil, err
			}
		}
	}
	for i, s := range run.Spans {
		at := max(s.At, committed[bus.Partition{Topic: s.Topic, Partition: s.Partition}], bounds[s.Topic][s.Partition].From)
		out[i] = min(max(at, s.From), s.To)
	}
	return out, nil
}

func recordOf(id, kind string, value []byte) *bus.Record {
	return &bus.Record{
		Topic: bus.TopicReruns, Key: []byte(id), Value: value,
		Headers: []bus.Header{{Key: HeaderRun, Value: []byte(id)}, {Key: HeaderKind, Value: []byte(kind)}},
	}
}

func (r *Reruns) note(ctx context.Context, run *Run) error {
	run.Changed = time.Now().UTC()
	value, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("noting run %s: %w", run.ID, err)
	}
	return r.bus.Append(ctx, recordOf(run.ID, kindState, value))
}

func (run Run) group() string { return groupPrefix + run.ID }

func (run Run) ends() map[bus.Partition]int64 {
	ends := map[bus.Partition]int64{}
	for _, s := range run.Spans {
		ends[bus.Partition{Topic: s.Topic, Partition: s.Partition}] = s.To
	}
	return ends
}
