package inbox

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// row is a group as it stands in the database.
type row struct {
	g, count, first, last int64
	key                   string
	severity, rev, notes  int
	score                 float64
	state                 State
	seen                  []Position // of the archiving in force
	starred               bool
	changed               int64
	kind, title, rerun    string
	sensor, rule, capture string
	ends                  [2]Endpoint
	words                 string
	tail                  []Position // of the last alerts, one a partition
	doc                   docRank    // of the document shown

	fresh  bool // not in the database yet
	again  bool // everything must be taken from the rows
	triage bool // state must be taken from the changes
}

// docRank orders a group's documents: the highest is shown. Its zero value is
// below every other.
type docRank struct {
	rev, off int64
	topic    string
	part     int32
}

func (d docRank) below(o docRank) bool {
	if d.topic == "" || o.topic == "" {
		return d.topic == ""
	}
	return cmp.Or(cmp.Compare(d.rev, o.rev), cmp.Compare(d.off, o.off), cmp.Compare(d.topic, o.topic), cmp.Compare(d.part, o.part)) < 0
}

const columns = `g, key, count, first, last, severity, score, rev, state, seen, starred, notes, changed,
	kind, title, sensor, rule, capture, ends, words, tail, doc_rev, doc_off, doc_topic, doc_part, rerun`

type scanner interface{ Scan(...any) error }

func scan(s scanner, r *row) error {
	var seen, ends, tail []byte
	if err := s.Scan(&r.g, &r.key, &r.count, &r.first, &r.last, &r.severity, &r.score, &r.rev, &r.state, &seen,
		&r.starred, &r.notes, &r.changed, &r.kind, &r.title, &r.sensor, &r.rule, &r.capture, &ends, &r.words, &tail,
		&r.doc.rev, &r.doc.off, &r.doc.topic, &r.doc.part, &r.rerun); err != nil {
		return err
	}
	if err := errors.Join(json.Unmarshal(seen, &r.seen), json.Unmarshal(ends, &r.ends), json.Unmarshal(tail, &r.tail)); err != nil {
		return fmt.Errorf("reading group %q: %w", r.key, err)
	}
	return nil
}

// group returns the row as others see it.
func (r *row) group() Group {
	g := Group{
		Group: r.key, State: r.state, Starred: r.starred, Kind: r.kind, Severity: severities[r.severity], Score: r.score,
		Title: r.title, Count: uint64(max(r.count, 0)), First: unixNano(r.first), Last: unixNano(r.last), Revision: r.rev,
		Source: r.ends[0], Destination: r.ends[1], Sensor: r.sensor, Rule: r.rule, Capture: r.capture, Rerun: r.rerun, Notes: r.notes, Seen: r.tail,
	}
	if r.changed != 0 {
		g.Changed = unixNano(r.changed)
	}
	return g
}

func unixNano(n int64) time.Time { return time.Unix(0, n).UTC() }

// add counts an alert that is no duplicate.
func (r *row) add(a *alert, at Position) {
	if r.state == StateArchived && !covers(r.seen, at) {
		r.state = StateNew
	}
	t := a.time.UnixNano()
	switch {
	case r.count == 0 || a.rev > r.rev:
		r.count, r.first, r.last, r.severity, r.score, r.rev = 1, t, t, a.severity, a.score, a.rev
	case a.rev == r.rev:
		r.count++
		r.first, r.last = min(r.first, t), max(r.last, t)
		r.severity, r.score = max(r.severity, a.severity), max(r.score, a.score)
	}
}

// reach notes that the group has an alert at the position.
func (r *row) reach(at Position) {
	for i, p := range r.tail {
		if p.Topic == at.Topic && p.Partition == at.Partition {
			r.tail[i].Offset = max(p.Offset, at.Offset)
			return
		}
	}
	i, _ := slices.BinarySearchFunc(r.tail, at, func(a, b Position) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	r.tail = slices.Insert(r.tail, i, at)
}

// covers says whether an alert at the position had been seen.
func covers(seen []Position, at Position) bool {
	return slices.ContainsFunc(seen, func(s Position) bool {
		return s.Topic == at.Topic && s.Partition == at.Partition && at.Offset <= s.Offset
	})
}

// settle brings what follows from other rows up to date and writes the group.
func (r *row) settle(ctx context.Context, q *queries) error {
	if r.again {
		if err := r.aggregate(ctx, q); err != nil {
			return err
		}
	}
	if r.triage || r.again {
		if err := r.replayChanges(ctx, q); err != nil {
			return err
		}
	}
	if r.again {
		if err := r.redocument(ctx, q); err != nil {
			return err
		}
		var err error
		if r.tail, err = q.last(ctx, r.g); err != nil {
			return err
		}
	}
	return r.save(ctx, q)
}

func (r *row) aggregate(ctx context.Context, q *queries) error {
	var rev sql.NullInt64
	if err := q.one(ctx, "SELECT max(rev) FROM alert WHERE g = ? AND dup = 0", r.g).Scan(&rev); err != nil {
		return fmt.Errorf("looking for the last revision: %w", err)
	}
	r.count, r.first, r.last, r.severity, r.score, r.rev = 0, 0, 0, 0, 0, int(rev.Int64)
	if !rev.Valid {
		return nil
	}
	err := q.one(ctx, "SELECT count(*), min(time), max(time), max(severity), max(score) FROM alert WHERE g = ? AND dup = 0 AND rev = ?", r.g, r.rev).
		Scan(&r.count, &r.first, &r.last, &r.severity, &r.score)
	if err != nil {
		return fmt.Errorf("counting a group: %w", err)
	}
	return nil
}

// replayChanges derives state, star and notes from the group's changes.
func (r *row) replayChanges(ctx context.Context, q *queries) error {
	changes, err := q.changes(ctx, r.g)
	if err != nil {
		return err
	}
	r.state, r.seen, r.starred, r.notes, r.changed = StateNew, nil, false, 0, 0
	for _, c := range changes {
		r.changed = c.Time.UnixNano()
		switch c.What {
		case Archive:
			r.state, r.seen = StateArchived, c.Seen
		case Escalate:
			r.state, r.seen = StateEscalated, nil
		case Reopen:
			r.state, r.seen = StateNew, nil
		case Star:
			r.starred = true
		case Unstar:
			r.starred = false
		case Note:
			r.notes++
		}
	}
	if r.state != StateArchived {
		return nil
	}
	unseen, err := q.unseen(ctx, r.g, r.seen)
	if unseen {
		r.state = StateNew
	}
	return err
}

// redocument takes what is shown from the last document of the group.
func (r *row) redocument(ctx context.Context, q *queries) error {
	var b []byte
	err := q.one(ctx, "SELECT json, rev, off, topic, part FROM doc WHERE g = ? ORDER BY rev DESC, off DESC, topic DESC, part DESC LIMIT 1", r.g).
		Scan(&b, &r.doc.rev, &r.doc.off, &r.doc.topic, &r.doc.part)
	if errors.Is(err, sql.ErrNoRows) {
		r.doc = docRank{}
		return nil // no alert is left, so nothing is shown
	}
	if err != nil {
		return fmt.Errorf("reading document: %w", err)
	}
	d, err := parseDocument(b)
	if err != nil {
		return err
	}
	d.shown(r)
	return nil
}

func (r *row) save(ctx context.Context, q *queries) error {
	if r.count == 0 {
		var any int
		err := q.one(ctx, "SELECT EXISTS(SELECT 1 FROM change WHERE g = ?1) + EXISTS(SELECT 1 FROM alert WHERE g = ?1)", r.g).Scan(&any)
		if err != nil {
			return fmt.Errorf("looking for what a group is kept for: %w", err)
		}
		if any == 0 {
			return q.exec(ctx, "DELETE FROM grp WHERE g = ?", r.g)
		}
	}
	seen, err := json.Marshal(r.seen)
	if err != nil {
		return fmt.Errorf("encoding group: %w", err)
	}
	tail, err := json.Marshal(r.tail)
	if err != nil {
		return fmt.Errorf("encoding group: %w", err)
	}
	ends, err := json.Marshal(r.ends)
	if err != nil {
		return fmt.Errorf("encoding group: %w", err)
	}
	text := `UPDATE grp SET count = ?, first = ?, last = ?, severity = ?, score = ?, rev = ?, state = ?, seen = ?,
		starred = ?, notes = ?, changed = ?, kind = ?, title = ?, sensor = ?, rule = ?, capture = ?, ends = ?, words = ?,
		tail = ?, doc_rev = ?, doc_off = ?, doc_topic = ?, doc_part = ?, rerun = ? WHERE g = ? AND key = ?`
	if r.fresh {
		text = `INSERT INTO grp(count, first, last, severity, score, rev, state, seen, starred, notes, changed, kind, title,
			sensor, rule, capture, ends, words, tail, doc_rev, doc_off, doc_topic, doc_part, rerun, g, key)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	}
	return q.exec(ctx, text, r.count, r.first, r.last, r.severity, r.score, r.rev, r.state, string(seen),
		r.starred, r.notes, r.changed, r.kind, r.title, r.sensor, r.rule, r.capture, string(ends), r.words,
		string(tail), r.doc.rev, r.doc.off, r.doc.topic, r.doc.part, r.rerun, r.g, r.key)
}
