package storage

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fill appends n batches of about 4 KB.
func fillTopic(t *testing.T, p *Partition, n int) {
	t.Helper()
	for i := range n {
		mustAppend(t, p, batch(strconv.Itoa(i), 1, 4000))
	}
}

// rounds runs retention until nothing changes any more.
func (s *opened) rounds() {
	s.t.Helper()
	for range 8 {
		s.enforceRetention()
		if err := s.checkpoint(); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestRetentionByBytesKeepsTheNewest(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1, ConfigSegmentBytes, "16384", "retention.bytes", "40000").Partition(0)
	fillTopic(t, p, 50)
	s.stop()
	s = open(t, fsys) // it runs after a restart too
	defer s.stop()
	p = s.Topic("t").Partition(0)
	s.rounds()
	if p.Size() < 40000 || p.Size() > 40000+2*16384 {
		t.Errorf("%d bytes are kept", p.Size())
	}
	if p.Start() == 0 || p.High() != 50 {
		t.Errorf("log from %d to %d", p.Start(), p.High())
	}
	if got := values(t, p); got[0] != fmt.Sprintf("%d/0", p.Start()) {
		t.Errorf("the first record left is %s, the first offset %d", got[0], p.Start())
	}
}

// A fast producer writes many times the budget between two ticks of the clock.
func TestBudgetHoldsWithoutWaitingForTheClock(t *testing.T) {
	const budget, written = 512 << 10, 3 * 512 << 10
	s := open(t, newCrashFS(1), func(o *Options) { o.Budget = budget }) // its rounds are an hour apart
	defer s.stop()
	p := s.topic("t", 1, ConfigSegmentBytes, "16384").Partition(0)
	for p.High() < written/4000 {
		fillTopic(t, p, 4)
		await(t, "the log is within its budget", func() bool { return s.Size() <= budget+budget/4 })
	}
	if p.Start() == 0 {
		t.Error("nothing was removed")
	}
}

func TestBudgetTakesOrdinaryTopicsFirstAndExemptOnesNever(t *testing.T) {
	s := open(t, newCrashFS(1))
	defer s.stop()
	sizes := func() (normal, last, exempt int64) {
		return s.Topic("normal").Partition(0).Size(), s.Topic("last").Partition(0).Size(), s.Topic("exempt").Partition(0).Size()
	}
	fillTopic(t, s.topic("last", 1, ConfigSegmentBytes, "16384", ConfigBudget, "last").Partition(0), 20)
	fillTopic(t, s.topic("exempt", 1, ConfigSegmentBytes, "16384", ConfigBudget, "exempt").Partition(0), 20)
	fillTopic(t, s.topic("normal", 1, ConfigSegmentBytes, "16384").Partition(0), 20)
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	n0, l0, e0 := sizes()
	s.SetBudget(n0 + l0 + e0 - 20_000)
	s.rounds()
	if n, l, e := sizes(); n >= n0 || l != l0 || e != e0 {
		t.Fatalf("a little too much: normal %d of %d, last %d of %d, exempt %d of %d", n, n0, l, l0, e, e0)
	}
	s.SetBudget(l0/2 + e0)
	s.rounds()
	if n, l, e := sizes(); n != 0 || l >= l0 || l == 0 || e != e0 {
		t.Fatalf("half too much: normal %d of %d, last %d of %d, exempt %d of %d", n, n0, l, l0, e, e0)
	}
	s.SetBudget(1)
	s.rounds()
	if n, l, e := sizes(); n != 0 || l != 0 || e != e0 {
		t.Fatalf("all too much: normal %d, last %d, exempt %d of %d", n, l, e, e0)
	}
}

func TestBudgetTakesTheOldestOfAllTopics(t *testing.T) {
	now := time.Now()
	s := open(t, newCrashFS(1))
	defer s.stop()
	old, fresh := s.topic("old", 1, ConfigSegmentBytes, "16384").Partition(0), s.topic("fresh", 1, ConfigSegmentBytes, "16384").Partition(0)
	for i := range 10 {
		for p, age := range map[*Partition]time.Duration{old: time.Hour, fresh: 0} {
			v := fmt.Appendf(nil, "%d %4000d", i, i)
			mustAppend(t, p, encodeBatch([]KeyValue{{Value: v}}, now.Add(-age).UnixMilli()))
		}
	}
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	before := fresh.Size()
	s.SetBudget(before + 100)
	s.rounds()
	if fresh.Size() != before || old.Size() != 0 {
		t.Errorf("fresh has %d of %d bytes, old %d", fresh.Size(), before, old.Size())
	}
}

func TestConfigurationIsValidated(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"retention.ms", "7d"}, {"retention.ms", ""}, {"retention.ms", "-2"}, {"retention.bytes", "1GB"},
		{ConfigSegmentBytes, "1"}, {ConfigCleanupPolicy, "purge"}, {ConfigCleanupPolicy, ""}, {ConfigBudget, "first"},
		{"message.timestamp.type", "Whenever"}, {"retention", "1"}, {"min.insync.replicas", "2"},
	} {
		if _, err := ParseConfig(map[string]string{c.name: c.value}); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
	c, err := ParseConfig(map[string]string{"retention.ms": "9223372036854775807", ConfigCleanupPolicy: "compact,delete"})
	if err != nil || c.RetentionMs < math.MaxInt64 || !c.Compact || !c.Delete {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestVerifyFindsWhatIsWrongAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, OS{}, func(o *Options) { o.Dir = dir })
	fillTopic(t, s.topic("t", 2, ConfigSegmentBytes, "16384").Partition(1), 20)
	if _, err := Verify(t.Context(), dir); err == nil {
		t.Fatal("verified a folder that is in use")
	}
	s.stop()
	r, err := Verify(t.Context(), dir)
	if err != nil || len(r.Problems) > 0 || r.Records != 20 {
		t.Fatalf("%+v, %v", r, err)
	}
	path := filepath.Join(dir, "topics/t/1/00000000000000000000.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[5000] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err = Verify(t.Context(), dir)
	if err != nil || len(r.Problems) == 0 || r.Problems[0].File != path || r.Problems[0].Pos > 5000 || r.Records != 19 {
		t.Fatalf("%+v, %v", r, err)
	}
	n := 0
	err = Dump(t.Context(), dir, "t", 1, 0, func(Dumped) bool { n++; return true })
	if err != nil || n != 19 {
		t.Fatalf("dumped %d records, %v", n, err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "topics/t/1/*.log"))
	if err != nil || len(logs) < 2 {
		t.Fatalf("%v, %v", logs, err)
	}
	if err := os.Truncate(logs[len(logs)-1], 0); err != nil {
		t.Fatal(err)
	}
	r, err = Verify(t.Context(), dir)
	if err != nil || len(r.Problems) < 2 || !strings.Contains(r.Problems[len(r.Problems)-1].What, "20 was durable") {
		t.Fatalf("%+v, %v", r, err)
	}
}

// A trickle of records does not keep the first of them for longer than twice
// what retention allows, nor does a segment whose records have no time stay for
// ever.
func TestAgeEndsWhatGoesOnAndWhatHasNoTime(t *testing.T) {
	for name, times := range map[string]func(now int64) int64{
		"trickle": func(now int64) int64 { return now },
		"no time": func(int64) int64 { return -1 },
	} {
		fsys, now := newCrashFS(1), &clock{}
		s := open(t, fsys, now.option)
		p := s.topic("t", 1, "retention.ms", "3600000").Partition(0)
		for i := range 30 {
			mustAppend(t, p, timed(times(s.now().UnixMilli())))
			now.add(10 * time.Minute)
			if i == 15 {
				s.stop()
				s = open(t, fsys, now.option)
				p = s.Topic("t").Partition(0)
			}
			s.rounds()
		}
		if start := p.Start(); start < 30-13 || start > 30-5 { // the sixth is an hour old, and a moment
			t.Errorf("%s: with 6 records an hour, all of 30 from %d on are kept", name, start)
		}
		s.stop()
	}
}
