package inbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/state"
)

// fakeLog is a log in memory: per partition what it holds, and its first
// offset.
type fakeLog struct {
	records map[bus.Partition][]*bus.Record
	first   map[bus.Partition]int64
}

func newLog() *fakeLog {
	return &fakeLog{records: map[bus.Partition][]*bus.Record{}, first: map[bus.Partition]int64{}}
}

func (l *fakeLog) add(partition int32, r *bus.Record) inbox.Position {
	p := bus.Partition{Topic: r.Topic, Partition: partition}
	r.Partition, r.Offset = partition, int64(len(l.records[p]))
	l.records[p] = append(l.records[p], r)
	return inbox.Position{Topic: r.Topic, Partition: partition, Offset: r.Offset}
}

func (l *fakeLog) Bounds(_ context.Context, topic string) (map[int32]bus.Span, error) {
	out := map[int32]bus.Span{}
	for p, rs := range l.records {
		if p.Topic == topic {
			out[p.Partition] = bus.Span{From: l.first[p], To: int64(len(rs))}
		}
	}
	return out, nil
}

// feed writes what a partition holds from where the view stands, at most n.
func (l *fakeLog) feed(t testing.TB, v *inbox.Inbox, p bus.Partition, n int) int {
	t.Helper()
	next, known, err := v.Resume(t.Context(), p)
	if err != nil || !known {
		t.Fatalf("resume: %v %v", known, err)
	}
	next = max(next, l.first[p])
	var batch []*client.Record
	for _, r := range l.records[p][next:min(int64(len(l.records[p])), next+int64(n))] {
		batch = append(batch, &client.Record{Record: r})
	}
	if err := v.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	return len(batch)
}

func (l *fakeLog) feedAll(t testing.TB, v *inbox.Inbox) {
	t.Helper()
	for p := range l.records {
		l.feed(t, v, p, 1<<20)
	}
}

func open(t testing.TB, dir string, l *fakeLog) (*inbox.Inbox, *state.DB) {
	t.Helper()
	v, db, err := inboxOn(dir, l)
	if err != nil {
		t.Fatal(err)
	}
	return v, db
}

func inboxOn(dir string, l inbox.Bounds) (*inbox.Inbox, *state.DB, error) {
	db, err := state.Open(context.Background(), dir, inbox.Schema())
	if err != nil {
		return nil, nil, err
	}
	return inbox.New(db, l, obs.Scope{}), db, nil
}

func view(t testing.TB, l *fakeLog) *inbox.Inbox {
	t.Helper()
	v, db := open(t, t.TempDir(), l)
	t.Cleanup(func() { _ = db.Close() })
	return v
}

type spec struct {
	id, group, severity, topic string
	rev, second                int
	score                      float64
	extra                      string
}

var began = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func alertRecord(s spec) *bus.Record {
	if s.topic == "" {
		s.topic = bus.TopicAlerts
	}
	if s.severity == "" {
		s.severity = "medium"
	}
	doc := fmt.Sprintf(`{"@timestamp":%q,"event":{"id":%q},"decoder":{"alert":{"group":%q,"kind":"network","severity":%q,"score":%g,"title":"T %s","revision":%d}},"source":{"ip":"10.0.0.1","port":4711},"destination":{"ip":"10.0.0.2"},"observer":{"name":"s1"}%s}`,
		began.Add(time.Duration(s.second)*time.Second).Format(time.RFC3339Nano), s.id, s.group, s.severity, s.score, s.id, s.rev, s.extra)
	return &bus.Record{Topic: s.topic, Key: []byte(s.group), Value: []byte(doc)}
}

func changeRecord(t testing.TB, c inbox.Change) *bus.Record {
	t.Helper()
	if c.Time.IsZero() {
		c.Time = began
	}
	r, err := c.Record()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func show(t testing.TB, v *inbox.Inbox, group string) inbox.Detail {
	t.Helper()
	d, err := v.Show(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestGroupAggregatesItsAlerts(t *testing.T) {
	l := newLog()
	v := view(t, l)
	l.add(0, alertRecord(spec{id: "a", group: "g", severity: "high", score: 70, second: 5}))
	l.add(0, alertRecord(spec{id: "b", group: "g", severity: "low", score: 20, second: 9}))
	l.add(0, alertRecord(spec{id: "a", group: "g", severity: "high", score: 70, second: 5})) // appended twice
	l.feedAll(t, v)
	d := show(t, v, "g")
	if d.Count != 2 || d.Severity != "high" || d.Score != 70 || !d.First.Equal(began.Add(5*time.Second)) || !d.Last.Equal(began.Add(9*time.Second)) {
		t.Errorf("group: %+v", d.Group)
	}
	if d.State != inbox.StateNew || d.Source.Address != "10.0.0.1" || d.Source.Port != 4711 || d.Sensor != "s1" {
		t.Errorf("group: %+v", d.Group)
	}
	if len(d.Alerts) != 2 || d.Alerts[0].ID != "b" {
		t.Errorf("alerts: %+v", d.Alerts)
	}
}

func TestLatestRevisionIsShownAndCounts(t *testing.T) {
	l := newLog()
	v := view(t, l)
	mail := func(id, severity string, rev int) *bus.Record {
		return alertRecord(spec{id: id, group: "m", topic: bus.TopicEmailAlert, severity: severity, rev: rev})
	}
	l.add(3, mail("r0", "low", 0))
	l.add(3, mail("r1", "critical", 1))
	l.feedAll(t, v)
	d := show(t, v, "m")
	if d.Count != 1 || d.Revision != 1 || d.Severity != "critical" || d.Title != "T r1" {
		t.Errorf("%+v", d.Group)
	}
	l.add(3, mail("r0", "low", 0)) // an older one again
	l.feedAll(t, v)
	if after := show(t, v, "m"); after.Title != "T r1" || after.Count != 1 {
		t.Errorf("%+v", after.Group)
	}
}

func TestNewAlertReopensAnArchivedGroup(t *testing.T) {
	l := newLog()
	v := view(t, l)
	l.add(0, alertRecord(spec{id: "a", group: "g"}))
	l.feedAll(t, v)
	seen := show(t, v, "g").Seen
	l.add(0, changeRecord(t, inbox.Change{ID: "c1", Group: "g", Who: "ann", What: inbox.Archive, Why: "benign", Seen: seen}))
	l.feedAll(t, v)
	if d := show(t, v, "g"); d.State != inbox.StateArchived || len(d.History) != 1 || d.History[0].Why != "benign" {
		t.Fatalf("%+v", d)
	}
	l.add(0, alertRecord(spec{id: "a", group: "g"})) // the same alert, appended again
	l.feedAll(t, v)
	if d := show(t, v, "g"); d.State != inbox.StateArchived {
		t.Fatalf("a copy of a seen alert made the group %s", d.State)
	}
	l.add(0, alertRecord(spec{id: "b", group: "g"}))
	l.feedAll(t, v)
	if d := show(t, v, "g"); d.State != inbox.StateNew {
		t.Fatalf("after a new alert the group is %s", d.State)
	}
}

func TestArchivingDoesNotCoverWhatWasNotSeen(t *testing.T) {
	l := newLog()
	v := view(t, l)
	seen := []inbox.Position{l.add(0, alertRecord(spec{id: "a", group: "g"}))}
	l.add(0, alertRecord(spec{id: "b", group: "g"})) // arrives while the person decides
	l.add(0, changeRecord(t, inbox.Change{ID: "c", Group: "g", What: inbox.Archive, Seen: seen}))
	l.feedAll(t, v)
	if d := show(t, v, "g"); d.State != inbox.StateNew {
		t.Errorf("an unseen alert was archived: %s", d.State)
	}
}

func TestChangesApplyInOrderAndOnce(t *testing.T) {
	l := newLog()
	v := view(t, l)
	l.add(0, alertRecord(spec{id: "a", group: "g"}))
	for _, c := range []inbox.Change{
		{ID: "1", What: inbox.Star}, {ID: "2", What: inbox.Note, Why: "look"}, {ID: "2", What: inbox.Note, Why: "look"},
		{ID: "3", What: inbox.Escalate}, {ID: "4", What: inbox.Unstar}, {ID: "5", What: inbox.Star},
	} {
		c.Group = "g"
		l.add(2, changeRecord(t, c))
	}
	l.feedAll(t, v)
	if d := show(t, v, "g"); !d.Starred || d.Notes != 1 || d.State != inbox.StateEscalated || len(d.History) != 5 {
		t.Errorf("%+v", d)
	}
}

func TestBadRecordsAreNamedAndTheRestCounts(t *testing.T) {
	l := newLog()
	v := view(t, l)
	bad := []string{`{`, `[]`, `{"event":{"id":"x"}}`, `{"@timestamp":"2026-01-01T00:00:00Z","event":{"id":"x"}}`,
		`{"@timestamp":"yesterday","event":{"id":"x"},"decoder":{"alert":{"group":"g"}}}`,
		`{"@timestamp":"2026-01-01T00:00:00Z","event":{"id":"x"},"decoder":{"alert":{"group":"g","score":1e9}}}`, "\xff"}
	for _, b := range bad {
		l.add(0, &bus.Record{Topic: bus.TopicAlerts, Value: []byte(b)})
	}
	l.add(0, alertRecord(spec{id: "good", group: "g"}))
	var batch []*client.Record
	for _, r := range l.records[bus.Partition{Topic: bus.TopicAlerts}] {
		batch = append(batch, &client.Record{Record: r})
	}
	err := v.Write(t.Context(), batch)
	faults, ok := errors.AsType[client.RecordErrors](err)
	if !ok || len(faults) != len(bad) {
		t.Fatalf("%v", err)
	}
	if d := show(t, v, "g"); d.Count != 1 {
		t.Errorf("%+v", d)
	}
	if next, _, err := v.Resume(t.Context(), bus.Partition{Topic: bus.TopicAlerts}); err != nil || next != int64(len(batch)) {
		t.Errorf("next %d, %v", next, err)
	}
}

func TestTryingSaysWhatWritingWouldAndWritesNothing(t *testing.T) {
	l := newLog()
	v := view(t, l)
	for name, c := range map[string]struct {
		r   *bus.Record
		bad bool
	}{
		"an alert":         {alertRecord(spec{id: "a", group: "g"}), false},
		"no alert":         {&bus.Record{Topic: bus.TopicAlerts, Value: []byte("{}")}, true},
		"a change":         {changeRecord(t, inbox.Change{ID: "c", Group: "g", Who: "ann", What: inbox.Star}), false},
		"no change":        {&bus.Record{Topic: bus.TopicTriage, Value: []byte("{}")}, true},
		"a rerun's state":  {&bus.Record{Topic: bus.TopicReruns, Value: []byte("{}")}, false},
		"of another topic": {&bus.Record{Topic: bus.TopicEvents, Value: []byte("{}")}, true},
	} {
		err := v.Try(t.Context(), &client.Record{Record: c.r})
		if (err != nil) != c.bad || c.bad && fault.Of(err).Class != fault.Permanent {
			t.Errorf("%s: %v", name, err)
		}
		errs, _ := errors.AsType[client.RecordErrors](view(t, newLog()).Write(t.Context(), []*client.Record{{Record: c.r}}))
		if (errs[0] != nil) != c.bad {
			t.Errorf("%s: written, %v", name, errs[0])
		}
	}
	if page, err := v.List(t.Context(), inbox.Filter{}); err != nil || len(page.Groups) != 0 {
		t.Errorf("after trying there is %+v, %v", page, err)
	}
}

func TestFullDiskIsNoRecordsFault(t *testing.T) {
	l := newLog()
	v, db := open(t, t.TempDir(), l)
	defer func() { _ = db.Close() }()
	limit := func(pages int) {
		if err := db.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), fmt.Sprint("PRAGMA max_page_count = ", pages))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // what there is already
	var batch []*client.Record
	for i := range 2000 {
		r := alertRecord(spec{id: fmt.Sprint("a", i), group: fmt.Sprint("g", i)})
		l.add(0, r)
		batch = append(batch, &client.Record{Record: r})
	}
	err := v.Write(t.Context(), batch)
	if err == nil || fault.Of(err).Class != fault.Throttled {
		t.Fatalf("%v", err)
	}
	limit(1 << 20)
	l.feedAll(t, v)
	if list, err := v.List(t.Context(), inbox.Filter{}); err != nil || list.Counts.All != 2000 {
		t.Errorf("%+v, %v", list.Counts, err)
	}
}

func TestResentAlertCountsAtItsFirstPosition(t *testing.T) {
	l := newLog()
	v := view(t, l)
	for i := range 3 {
		l.add(0, alertRecord(spec{id: strconv.Itoa(i), group: "g"}))
	}
	l.feedAll(t, v)
	r := alertRecord(spec{id: "again", group: "g"})
	r.Offset = 1 // where a broken one lay
	for range 2 {
		if err := v.Write(t.Context(), []*client.Record{{Record: r, Resent: true}}); err != nil {
			t.Fatal(err)
		}
	}
	next, _, err := v.Resume(t.Context(), bus.Partition{Topic: bus.TopicAlerts})
	if err != nil || next != 3 {
		t.Errorf("next %d, %v", next, err)
	}
}

func TestAnotherLogEmptiesTheView(t *testing.T) {
	dir := t.TempDir()
	l := newLog()
	v, db := open(t, dir, l)
	l.add(0, alertRecord(spec{id: "a", group: "g"}))
	l.add(0, alertRecord(spec{id: "b", group: "g"}))
	l.feedAll(t, v)
	_ = db.Close()
	other := newLog()
	other.add(0, alertRecord(spec{id: "z", group: "h"}))
	v, db = open(t, dir, other)
	defer func() { _ = db.Close() }()
	other.feedAll(t, v)
	list, err := v.List(t.Context(), inbox.Filter{})
	if err != nil || len(list.Groups) != 1 || list.Groups[0].Group != "h" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestListPagesFiltersAndCounts(t *testing.T) {
	l := newLog()
	v := view(t, l)
	names := []string{"low", "medium", "high", "critical"}
	for i := range 50 {
		l.add(int32(i%3), alertRecord(spec{id: fmt.Sprint("a", i), group: fmt.Sprintf("g%02d", i), severity: names[i%4], second: i / 2, score: float64(i)}))
	}
	l.feedAll(t, v)
	for _, sort := range []string{"last", "first", "severity", "score", "count"} {
		got := map[string]bool{}
		f := inbox.Filter{Sort: sort, Limit: 7}
		for pages := 0; ; pages++ {
			page, err := v.List(t.Context(), f)
			if err != nil || pages > 8 {
				t.Fatal(pages, err)
			}
			for _, g := range page.Groups {
				if got[g.Group] {
					t.Errorf("%s: %s twice", sort, g.Group)
				}
				got[g.Group] = true
			}
			if f.Cursor = page.Cursor; f.Cursor == "" {
				break
			}
		}
		if len(got) != 50 {
			t.Errorf("%s: %d groups", sort, len(got))
		}
	}
	page, err := v.List(t.Context(), inbox.Filter{State: inbox.StateNew, Severity: "high", Text: "G1 T", Limit: 1000})
	if err != nil || len(page.Groups) == 0 || page.Hidden != 50-uint64(len(page.Groups)) || page.Counts.New != 50 {
		t.Errorf("%+v, %v", page, err)
	}
	for _, g := range page.Groups {
		if !strings.HasPrefix(g.Group, "g1") || (g.Severity != "high" && g.Severity != "critical") {
			t.Errorf("%+v", g)
		}
	}
	if _, err := v.List(t.Context(), inbox.Filter{Cursor: "x"}); !errors.Is(err, inbox.ErrCursor) {
		t.Error(err)
	}
}

func TestARerunsAlertsAreApart(t *testing.T) {
	l := newLog()
	dir := t.TempDir()
	v, db := open(t, dir, l)
	l.add(0, alertRecord(spec{id: "live", group: "g"}))
	again := func(run, id, topic string) *bus.Record {
		r := alertRecord(spec{id: id, group: "g", severity: "high", topic: bus.TopicReruns})
		r.Headers = []bus.Header{
			{Key: rerun.HeaderRun, Value: []byte(run)}, {Key: rerun.HeaderKind, Value: []byte("document")}, {Key: rerun.HeaderTopic, Value: []byte(topic)},
		}
		return r
	}
	for i, r := range []*bus.Record{
		again("r1", "a", bus.TopicAlerts), again("r1", "b", bus.TopicEmailAlert), again("r2", "c", bus.TopicAlerts), again("r1", "d", bus.TopicEvents),
		{Topic: bus.TopicReruns, Value: []byte("{}"), Headers: []bus.Header{{Key: rerun.HeaderKind, Value: []byte("state")}}},
	} {
		l.add(int32(i%2), r)
	}
	l.feedAll(t, v)
	check := func() {
		t.Helper()
		for run, want := range map[string]struct {
			count    uint64
			severity string
		}{"": {1, "medium"}, "r1": {2, "high"}, "r2": {1, "high"}, "r3": {}} {
			page, err := v.List(t.Context(), inbox.Filter{Rerun: run})
			if err != nil {
				t.Fatal(err)
			}
			if want.count == 0 {
				if len(page.Groups) != 0 || page.Counts.All != 0 {
					t.Errorf("%q: %+v", run, page)
				}
				continue
			}
			if len(page.Groups) != 1 || page.Counts.All != 1 || page.Groups[0].Count != want.count || page.Groups[0].Severity != want.severity || page.Groups[0].Rerun != run {
				t.Errorf("%q: %+v", run, page)
			}
			if d := show(t, v, page.Groups[0].Group); d.Rerun != run || uint64(len(d.Alerts)) != want.count {
				t.Errorf("%q: %+v", run, d)
			}
		}
	}
	check()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	v, db = open(t, dir, l)
	defer db.Close()
	l.feedAll(t, v)
	check()
	l.first[bus.Partition{Topic: bus.TopicReruns, Partition: 0}] = 3 // retention
	l.first[bus.Partition{Topic: bus.TopicReruns, Partition: 1}] = 2
	if err := v.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	for run, want := range map[string]int{"": 1, "r1": 0, "r2": 0} {
		if page, err := v.List(t.Context(), inbox.Filter{Rerun: run}); err != nil || len(page.Groups) != want {
			t.Errorf("%q after retention: %+v, %v", run, page, err)
		}
	}
}

func TestAwaitReturnsWhenTheChangeIsApplied(t *testing.T) {
	l := newLog()
	v := view(t, l)
	l.add(0, changeRecord(t, inbox.Change{ID: "late", Group: "g", What: inbox.Star}))
	done := make(chan error, 1)
	go func() { done <- v.Await(t.Context(), "late") }()
	l.feedAll(t, v)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := v.Await(ctx, "never"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestDocumentIsKept(t *testing.T) {
	l := newLog()
	v := view(t, l)
	l.add(0, alertRecord(spec{id: "a", group: "g", extra: `,"rule":{"id":"1:2"},"x":{"n":123456789012345678901}`}))
	l.feedAll(t, v)
	d := show(t, v, "g")
	if !json.Valid(d.Document) || !strings.Contains(string(d.Document), "123456789012345678901") || d.Rule != "1:2" {
		t.Errorf("%s", d.Document)
	}
}
