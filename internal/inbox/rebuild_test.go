package inbox_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/state"
)

// dump is everything a view shows.
func dump(t testing.TB, v *inbox.Inbox) []inbox.Detail {
	t.Helper()
	var out []inbox.Detail
	page, err := v.List(t.Context(), inbox.Filter{Limit: 1000})
	if err != nil || page.Cursor != "" {
		t.Fatal(err)
	}
	for _, g := range page.Groups {
		d := show(t, v, g.Group)
		out = append(out, d)
	}
	return out
}

// story lets a log grow, be trimmed, and be applied in any order, with
// restarts between.
type story struct {
	*testing.T
	rnd *rand.Rand
	log *fakeLog
	dir string
	v   *inbox.Inbox
	db  *state.DB
	ids int
}

func (s *story) pick(n int) int { return s.rnd.IntN(n) }

func (s *story) group() string { return fmt.Sprint("g", s.pick(6)) }

func (s *story) append() {
	if s.pick(4) == 0 {
		s.change()
		return
	}
	s.ids++
	a := spec{
		id: fmt.Sprint("a", s.ids), group: s.group(), rev: max(0, s.pick(5)-3), second: s.pick(100),
		severity: []string{"low", "medium", "high", "critical"}[s.pick(4)], score: float64(s.pick(101)),
	}
	if s.pick(3) == 0 && s.ids > 8 { // once more, as after a kill; now and then into another group or topic
		a.id = fmt.Sprint("a", s.ids-1-s.pick(8))
	}
	if s.pick(3) == 0 {
		a.topic = bus.TopicEmailAlert
	}
	s.log.add(int32(s.pick(2)), alertRecord(a))
}

func (s *story) change() {
	s.ids++
	c := inbox.Change{ID: fmt.Sprint("c", s.ids-s.pick(3)), Group: s.group(), Who: "ann", What: inbox.Actions()[s.pick(6)], Why: "w"}
	if c.What != inbox.Archive {
		c.What = inbox.Actions()[s.pick(6)]
	}
	if d, err := s.v.Show(s.Context(), c.Group); err == nil && s.pick(5) > 0 {
		c.Seen = d.Seen
	}
	s.log.add(int32(s.pick(2)), changeRecord(s, c))
}

func (s *story) partition() (bus.Partition, bool) {
	var all []bus.Partition
	for p := range s.log.records {
		all = append(all, p)
	}
	if len(all) == 0 {
		return bus.Partition{}, false
	}
	slices.SortFunc(all, func(a, b bus.Partition) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return all[s.pick(len(all))], true
}

func (s *story) step() {
	p, any := s.partition()
	switch n := s.pick(40); {
	case n < 20 || !any:
		s.append()
	case n < 32:
		s.log.feed(s, s.v, p, 1+s.pick(5))
	case n < 35: // retention
		s.log.first[p] += int64(s.pick(1 + len(s.log.records[p]) - int(s.log.first[p])))
	case n < 37:
		if err := s.v.Trim(s.Context()); err != nil {
			s.Fatal(err)
		}
	case n < 38:
		if err := s.db.Close(); err != nil {
			s.Fatal(err)
		}
		s.v, s.db = open(s, s.dir, s.log)
	case n < 39: // what was written is written again, as by a runtime that was killed
		var batch []*client.Record
		for _, r := range s.log.records[p] {
			batch = append(batch, &client.Record{Record: r})
		}
		if next, _, err := s.v.Resume(s.Context(), p); err != nil || s.v.Write(s.Context(), batch[min(s.log.first[p], next):next]) != nil {
			s.Fatal(err)
		}
	}
}

// TestRebuildGivesTheSameView is the promise of a view: whatever happened, it
// is what a new one makes of what the log holds now.
func TestRebuildGivesTheSameView(t *testing.T) {
	stories := uint64(40)
	if os.Getenv("DECODER_LONG") != "" {
		stories = 2000
	}
	shown := 0
	for seed := range stories {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			s := &story{T: t, rnd: rand.New(rand.NewPCG(seed, 1)), log: newLog(), dir: t.TempDir()}
			s.v, s.db = open(t, s.dir, s.log)
			defer func() { _ = s.db.Close() }()
			for range 50 + s.pick(250) {
				s.step()
			}
			s.log.feedAll(t, s.v)
			if err := s.v.Trim(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := dump(t, s.v)
			shown += len(got)

			anew := view(t, s.log)
			for left := 1; left > 0; {
				left = 0
				for p := range s.log.records { // in the order of a map: none
					left += s.log.feed(t, anew, p, 1+s.pick(30))
				}
			}
			if diff := cmp.Diff(dump(t, anew), got); diff != "" {
				t.Errorf("the view differs from one built anew (-anew +kept):\n%s", diff)
			}
			if err := s.v.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.log.feedAll(t, s.v)
			if diff := cmp.Diff(got, dump(t, s.v)); diff != "" {
				t.Errorf("the view differs from itself rebuilt:\n%s", diff)
			}
		})
	}
	if shown == 0 {
		t.Error("no story left anything to compare")
	}
}

// BenchmarkWrite applies alerts in batches of 1000: the number that matters is
// alerts/s.
func BenchmarkWrite(b *testing.B) {
	for _, groups := range []int{50, 100_000} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			l := newLog()
			v := view(b, l)
			rnd := rand.New(rand.NewPCG(1, 2))
			n := 0
			for b.Loop() {
				batch := make([]*client.Record, 1000)
				for i := range batch {
					r := alertRecord(spec{
						id: fmt.Sprintf("%026d", n), group: fmt.Sprintf("suricata:1:%d:10.0.0.1:10.0.0.2", rnd.IntN(groups)), second: n,
						extra: `,"event":{"id":"` + fmt.Sprintf("%026d", n) + `","pad":"` + strings.Repeat("x", 1200) + `"}`,
					})
					r.Offset = int64(n)
					batch[i] = &client.Record{Record: r}
					n++
				}
				if err := v.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
		})
	}
}
