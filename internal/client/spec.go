package client

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// Spec describes a client. Name, Inputs and one of Stage and Sink are needed;
// the zero value of the rest is a sound default.
type Spec struct {
	Name    string   // its group is "decoder-" and the name, its dead letters lie on "dead_" and the name
	Inputs  []string // topics read
	Outputs []string // topics a stage may emit to
	Stage   Stage
	Sink    Sink
	Version string // of the program, noted in dead letters

	// Concurrency is how many records of a stage are in flight at once,
	// whatever their partition and without order; 0 handles each partition in
	// order. Window bounds how far one partition's records may run ahead of
	// its oldest unfinished one; 0: 4096.
	Concurrency int
	Window      int

	InFlight int64         // bytes read and not done with, over all partitions; 0: 32 MiB
	Timeout  time.Duration // deadline of one call; 0: none in order, 30 s concurrently, 1 min for a sink
	Attempts int           // of a record before the other side is asked; 0: 5
	Backoff  time.Duration // before the second attempt, doubled for each further; 0: 100 ms

	BatchRecords int           // most records of one Write; 0: 2000
	BatchBytes   int           // most bytes of one Write, but for a single larger record; 0: 4 MiB
	Gather       time.Duration // least time from one Write of a partition to the next that is not of a whole batch
	FlushEvery   time.Duration // between a Flusher's barriers; 0: 2 s

	Group   string        // of consumers, instead of the default
	FromNow bool          // a group that has never committed begins behind what the inputs hold then, not with it
	Dead    string        // whose dead letters they are, instead of the name
	Session time.Duration // after which a silent process is taken for dead; 0: 12 s
	Stuck   time.Duration // of one call while nothing else gets on, after which it is reported; 0: 2 min, or twice the timeout
}

// maxBackoff bounds every wait between attempts and between checks.
const maxBackoff = 30 * time.Second

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,99}$`)

func (s Spec) withDefaults() (Spec, error) {
	switch {
	case !validName.MatchString(s.Name):
		return s, fmt.Errorf("client name %q: want lower-case letters, digits, and . _ - within", s.Name)
	case s.Name == "state":
		return s, errors.New("client name \"state\" is taken by the topic dead_state")
	case len(s.Inputs) == 0:
		return s, fmt.Errorf("client %s reads no topic", s.Name)
	case slices.Contains(s.Inputs, bus.TopicResend):
		return s, fmt.Errorf("client %s: every client reads %s already", s.Name, bus.TopicResend)
	case (s.Stage == nil) == (s.Sink == nil):
		return s, fmt.Errorf("client %s needs either a stage or a sink", s.Name)
	case s.Sink != nil && s.Concurrency > 0:
		return s, fmt.Errorf("client %s: a sink takes batches in order", s.Name)
	}
	if s.Timeout == 0 && s.Concurrency > 0 {
		s.Timeout = 30 * time.Second
	}
	if s.Timeout == 0 && s.Sink != nil {
		s.Timeout = time.Minute
	}
	set(&s.Stuck, max(2*time.Minute, 2*s.Timeout))
	set(&s.Window, 4096)
	set(&s.InFlight, 32<<20)
	set(&s.Attempts, 5)
	set(&s.Backoff, 100*time.Millisecond)
	set(&s.BatchRecords, 2000)
	set(&s.BatchBytes, 4<<20)
	set(&s.FlushEvery, 2*time.Second)
	set(&s.Group, "decoder-"+s.Name)
	set(&s.Dead, s.Name)
	return s, nil
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
