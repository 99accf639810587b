package client

import (
	"encoding/json"
	"slices"
	"time"
)

// marks is what a client notes beside each committed offset, in the offset's
// metadata: how often records have failed, and who is under suspicion of
// ending the process.
//
// While a partition is worked on its marks are open. When marks are found
// open, the process ended without a word, and what lay behind the offset is
// suspected: Deaths says how often, From and To which offsets. The first death
// only raises suspicion, since what was begun is not known. From then on
// suspects are marked before they are handled, apart from all else, and ever
// fewer at a time: a record is given up when it was known to be in flight at
// three deaths in a row, at the third of them alone. With fewer, processes
// that are killed from outside again and again would condemn healthy records.
type marks struct {
	Format int    `json:"v"`
	Topic  string `json:"topic,omitempty"` // id of the topic, in hex: offsets of one that was deleted say nothing of another of its name
	Open   bool   `json:"open,omitempty"`

	Deaths int   `json:"deaths,omitempty"`
	From   int64 `json:"from,omitempty"`
	To     int64 `json:"to,omitempty"`     // behind the last suspect
	Trying bool  `json:"trying,omitempty"` // From to To are with the handler now
	Vain   int   `json:"vain,omitempty"`   // deaths in a row with no suspect in hand and nothing done since the one before
	Began  int64 `json:"began,omitempty"`  // one more than the offset the last owner found, for that

	Failing []failing `json:"failing,omitempty"`
}

// failing is a record that has failed and is tried again.
type failing struct {
	Offset   int64 `json:"o"`
	Attempts int   `json:"n"`
	First    int64 `json:"t"` // Unix milliseconds of the first failure
}

const (
	marksFormat = 1
	maxFailing  = 60     // Kafka takes 4096 bytes of metadata
	maxSuspects = 50_000 // more are not in flight in practice
)

// suspectsAtOnce is how many suspects are handled together, by the number of
// deaths after the first. A record that was in flight at all of them, and at
// the last alone, is given up.
var suspectsAtOnce = [...]int{128, 8, 1}

// lingering reports whether the process seems to die of a suspect only after
// the handler has returned.
func (m *marks) lingering() bool { return m.Vain >= 3 }

// condemned reports whether the deaths name one record.
func (m *marks) condemned() bool { return m.Deaths > len(suspectsAtOnce) }

// readMarks parses metadata. What is not this program's, as after a reset of
// offsets with Kafka's own tool, holds no marks.
func readMarks(metadata string) marks {
	var m marks
	if metadata == "" || json.Unmarshal([]byte(metadata), &m) != nil || m.Format != marksFormat {
		return marks{Format: marksFormat}
	}
	return m
}

func (m marks) String() string {
	if len(m.Failing) > maxFailing {
		m.Failing = m.Failing[:maxFailing]
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "" // numbers always marshal
	}
	return string(b)
}

// inherit returns the marks a new owner of the partition begins with, given
// those it found, the committed offset and the end of the log.
func (m marks) inherit(committed, end int64) marks {
	next := marks{Format: marksFormat, Open: true, Failing: slices.Clone(m.Failing)}
	switch {
	case m.Deaths == 0 && !m.Open:
		return next
	case m.Deaths == 0:
		next.Deaths, next.From, next.To = 1, max(committed, 0), min(end, max(committed, 0)+maxSuspects)
	case m.Open && m.Trying:
		next.Deaths, next.From, next.To = m.Deaths+1, m.From, m.To
	default:
		next.Deaths, next.From, next.To = m.Deaths, max(m.From, committed), m.To
		if m.Open && m.Began == committed+1 {
			next.Vain = m.Vain + 1
		}
	}
	next.Began = committed + 1
	if next.From >= next.To {
		next.acquit()
	}
	return next
}

// acquit ends all suspicion.
func (m *marks) acquit() {
	m.Deaths, m.From, m.To, m.Trying, m.Vain, m.Began = 0, 0, 0, false, 0, 0
}

// attempts returns what is known of the record's failures.
func (m *marks) attempts(offset int64) failing {
	for _, f := range m.Failing {
		if f.Offset == offset {
			return f
		}
	}
	return failing{Offset: offset}
}

func (m *marks) note(f failing) {
	if i := slices.IndexFunc(m.Failing, func(g failing) bool { return g.Offset == f.Offset }); i >= 0 {
		m.Failing[i] = f
		return
	}
	m.Failing = append(m.Failing, f)
}

// forget drops the record's failures, and those of records before the offset.
func (m *marks) forget(offset, committed int64) {
	m.Failing = slices.DeleteFunc(m.Failing, func(f failing) bool { return f.Offset == offset || f.Offset < committed })
}

func (f *failing) count(now time.Time) {
	f.Attempts++
	if f.First == 0 {
		f.First = now.UnixMilli()
	}
}

func (f *failing) firstFailed(now time.Time) time.Time {
	if f.First == 0 {
		return now
	}
	return time.UnixMilli(f.First)
}
