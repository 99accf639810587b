package inbox

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxAlerts    = 100 // of a detail
	maxHistory   = 500
)

// sorts are the columns a list may be sorted by, always descending.
func sortColumn(name string) (string, error) {
	switch name {
	case "", "last":
		return "last", nil
	case "first", "severity", "score", "count":
		return name, nil
	}
	return "", fmt.Errorf("the inbox is not sorted by %q", name)
}

// cursor is where a page ended.
type cursor struct {
	Value json.Number `json:"v"`
	Last  int64       `json:"l"`
	Key   string      `json:"k"`
}

func (c cursor) String() string {
	b, _ := json.Marshal(c) // numbers and a string
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(s string) (c cursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, ErrCursor
	}
	return c, nil
}

// where is a condition in SQL with its values.
type where struct {
	terms  []string
	values []any
}

func (w *where) add(term string, values ...any) {
	w.terms = append(w.terms, term)
	w.values = append(w.values, values...)
}

func (w *where) String() string { return strings.Join(w.terms, " AND ") }

// conditions returns those of the state, and those of it and the filters.
func (f Filter) conditions() (byState, all where, filtered bool) {
	byState.add("count > 0 AND rerun = ?", f.Rerun)
	if f.State != "" {
		byState.add("state = ?", f.State)
	}
	all.add(byState.String(), byState.values...)
	plain := len(all.terms)
	if f.Starred {
		all.add("starred = 1")
	}
	if r := severityRank(f.Severity); r > 0 {
		all.add("severity >= ?", r)
	}
	for column, value := range map[string]string{"kind": f.Kind, "sensor": f.Sensor} {
		if value != "" {
			all.add(column+" = ?", value)
		}
	}
	switch f.Capture {
	case "":
	case "-":
		all.add("capture = ''")
	default:
		all.add("capture = ?", f.Capture)
	}
	for word := range strings.FieldsSeq(strings.ToLower(short(f.Text))) {
		all.add("instr(words, ?) > 0", word)
	}
	if !f.From.IsZero() {
		all.add("last >= ?", f.From.UnixNano())
	}
	if !f.To.IsZero() {
		all.add("last < ?", f.To.UnixNano())
	}
	return byState, all, len(all.terms) > plain
}

// List returns one page of groups.
func (v *Inbox) List(ctx context.Context, f Filter) (List, error) {
	column, err := sortColumn(f.Sort)
	if err != nil {
		return List{}, err
	}
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	f.Limit = min(f.Limit, maxLimit)
	byState, all, filtered := f.conditions()
	out := List{Groups: []Group{}}
	if out.Counts, err = v.counts(ctx, f.Rerun); err != nil {
		return List{}, err
	}
	if filtered {
		if out.Hidden, err = v.hidden(ctx, byState, all); err != nil {
			return List{}, err
		}
	}
	if f.Cursor != "" {
		c, err := parseCursor(f.Cursor)
		if err != nil {
			return List{}, err
		}
		all.add("("+column+", last, key) < (?, ?, ?)", number(c.Value), c.Last, c.Key)
	}
	var ends cursor
	err = each(ctx, v.db.Read(), func(rows *sql.Rows) error {
		var r row
		if err := scan(rows, &r); err != nil {
			return err
		}
		if len(out.Groups) == f.Limit {
			out.Cursor = ends.String()
			return nil
		}
		out.Groups = append(out.Groups, r.group())
		ends = cursor{r.value(column), r.last, r.key}
		return nil
	}, "SELECT "+columns+" FROM grp WHERE "+all.String()+" ORDER BY "+column+" DESC, last DESC, key DESC LIMIT ?", append(all.values, f.Limit+1)...)
	return out, err
}

// number is a value of a cursor as SQLite compares it.
func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	x, _ := n.Float64() // parseCursor has read it as a number
	return x
}

func (r *row) value(column string) json.Number {
	switch column {
	case "first":
		return json.Number(strconv.FormatInt(r.first, 10))
	case "severity":
		return json.Number(strconv.Itoa(r.severity))
	case "score":
		return json.Number(fmt.Sprint(r.score))
	case "count":
		return json.Number(strconv.FormatInt(r.count, 10))
	}
	return json.Number(strconv.FormatInt(r.last, 10))
}

func (v *Inbox) hidden(ctx context.Context, byState, all where) (uint64, error) {
	var n uint64
	err := v.db.Read().QueryRowContext(ctx, "SELECT (SELECT count(*) FROM grp WHERE "+byState.String()+") - (SELECT count(*) FROM grp WHERE "+all.String()+")",
		append(byState.values, all.values...)...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting what filters hide: %w", err)
	}
	return n, nil
}

// counted are the counts as of a version of the view.
type counted struct {
	version uint64
	counts  Counts
}

// counts counts anew only when the view has changed since it did last: every
// page that is open asks, and the inbox may be large. A rerun's groups are
// seldom asked for.
func (v *Inbox) counts(ctx context.Context, rerun string) (Counts, error) {
	if rerun != "" {
		return v.count(ctx, rerun)
	}
	version := v.news.version.Load()
	if c := v.counted.Load(); c != nil && c.version == version {
		out := c.counts
		out.Open = maps.Clone(out.Open)
		return out, nil
	}
	c, err := v.count(ctx, "")
	if err == nil {
		kept := c
		kept.Open = maps.Clone(c.Open)
		v.counted.Store(&counted{version, kept})
	}
	return c, err
}

func (v *Inbox) count(ctx context.Context, rerun string) (Counts, error) {
	c := Counts{Open: map[string]uint64{}}
	err := each(ctx, v.db.Read(), func(rows *sql.Rows) error {
		var s State
		var severity int
		var n uint64
		if err := rows.Scan(&s, &severity, &n); err != nil {
			return err
		}
		c.All += n
		switch s {
		case StateNew:
			c.New += n
		case StateEscalated:
			c.Escalated += n
		case StateArchived:
			c.Archived += n
			return nil
		}
		c.Open[severities[severity]] += n
		return nil
	}, "SELECT state, severity, count(*) FROM grp WHERE count > 0 AND rerun = ? GROUP BY state, severity", rerun)
	return c, err
}

// Show returns everything known of a group, or ErrNotFound. All of it is of one
// moment: Seen covers what is shown and no more.
func (v *Inbox) Show(ctx context.Context, group string) (d Detail, err error) {
	err = v.db.Snapshot(ctx, func(tx *sql.Tx) error {
		q := queries{db: tx}
		defer q.close()
		d, err = q.detail(ctx, group)
		return err
	})
	return d, err
}

func (q *queries) detail(ctx context.Context, group string) (Detail, error) {
	var r row
	err := scan(q.one(ctx, "SELECT "+columns+" FROM grp WHERE key = ? AND count > 0", group), &r)
	if errors.Is(err, sql.ErrNoRows) {
		return Detail{}, ErrNotFound
	}
	if err != nil {
		return Detail{}, fmt.Errorf("reading group: %w", err)
	}
	d := Detail{Group: r.group()}
	err = q.one(ctx, "SELECT json FROM doc WHERE g = ? ORDER BY rev DESC, off DESC, topic DESC, part DESC LIMIT 1", r.g).Scan(&d.Document)
	if err != nil {
		return Detail{}, fmt.Errorf("reading document: %w", err)
	}
	if d.Alerts, err = q.alerts(ctx, r.g, r.rev); err != nil {
		return Detail{}, err
	}
	if d.History, err = q.changes(ctx, r.g); err != nil {
		return Detail{}, err
	}
	d.History = append([]Change{}, d.History[max(0, len(d.History)-maxHistory):]...)
	return d, nil
}

func (q *queries) alerts(ctx context.Context, g int64, rev int) ([]Alert, error) {
	out := []Alert{}
	err := each(ctx, q.db, func(rows *sql.Rows) error {
		var a Alert
		var at int64
		var severity int
		if err := rows.Scan(&a.ID, &at, &severity, &a.Score, &a.Revision, &a.Topic, &a.Partition, &a.Offset); err != nil {
			return err
		}
		a.Time, a.Severity = unixNano(at), severities[severity]
		out = append(out, a)
		return nil
	}, `SELECT id, time, severity, score, rev, topic, part, off FROM alert WHERE g = ? AND dup = 0 AND rev = ?
		ORDER BY topic DESC, part DESC, off DESC LIMIT ?`, g, rev, maxAlerts)
	return out, err
}
