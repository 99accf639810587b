package rules

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/proc"
	"github.com/decodersring/decoder/internal/suricata"
)

func needPrograms(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := proc.LookPath(n); err != nil {
			t.Skipf("SKIPPED: needs %s (apt-get install %s)", n, n)
		}
	}
}

func newSet(t *testing.T, o Options, reload func(context.Context) (suricata.RuleStats, error)) *Set {
	t.Helper()
	o.Dir = t.TempDir()
	s, err := New(o, Deps{Reload: reload})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// engineLoads returns how many rules a real engine loads of the set in use.
func engineLoads(t *testing.T, s *Set) suricata.RuleStats {
	t.Helper()
	b, err := suricata.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.RuleSet()
	if err != nil {
		t.Fatal(err)
	}
	w, err := suricata.StartWorker(t.Context(), b, suricata.Config{Rules: set}, t.TempDir(), s.deps.Scope.Logger())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	stats, err := w.RuleStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

func TestAFreshSetWithoutAWayOutHasTheStarterRules(t *testing.T) {
	needPrograms(t, "suricata", "suricata-update")
	s := newSet(t, Options{}, nil)
	st := s.Status()
	if st.Enabled < 20 || st.Enabled > 40 || !st.Starter || len(st.Failed) != 0 {
		t.Errorf("status: %+v", st)
	}
	// And the self-test's.
	if got := engineLoads(t, s); got.Loaded != st.Enabled+1 || got.Failed != 0 {
		t.Errorf("the engine loads %+v, want %d", got, st.Enabled+1)
	}
	found, err := s.List("1900001", 0)
	if err != nil || len(found) != 1 || found[0].Message != "DECODER id command returned root" || !found[0].Enabled {
		t.Errorf("List: %+v, %v", found, err)
	}
}

func TestRulesComeFromFilesWithoutAWayOutAndBrokenOnesAreLeftOut(t *testing.T) {
	needPrograms(t, "suricata", "suricata-update")
	dir := t.TempDir()
	source := filepath.Join(dir, "source.rules")
	write(t, source, `alert ip any any -> any any (msg:"first\; \"quoted\""; content:"a|3b|b"; sid:1000201; rev:2;)
alert ip any any -> any any (msg:"broken"; nonsense:1; sid:1000202; rev:1;)
# alert ip any any -> any any (msg:"off"; content:"off"; sid:1000203; rev:1;)
`)
	own := filepath.Join(dir, "own.rules")
	write(t, own, `alert ip any any -> any any (msg:"own"; content:"own"; sid:1000204; rev:1;)`+"\n")
	reloads := 0
	s := newSet(t, Options{Sources: []string{"file://" + source}, Local: []string{own}}, func(context.Context) (suricata.RuleStats, error) {
		reloads++
		return suricata.RuleStats{Loaded: 2}, nil
	})
	before := reloads
	r, err := s.Update(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Fetched || !r.Changed || r.Starter || reloads != before+1 || r.Engine.Loaded != 2 {
		t.Errorf("report: %+v, %d reloads", r, reloads-before)
	}
	if len(r.Failed) != 1 || r.Failed[0].ID != 1000202 || !strings.Contains(r.Failed[0].Reason, "nonsense") {
		t.Errorf("failed: %+v", r.Failed)
	}
	state := func() map[int]bool {
		all, err := s.List("", 0)
		if err != nil {
			t.Fatal(err)
		}
		out := map[int]bool{}
		for _, rule := range all {
			if rule.ID >= 1000200 && rule.ID < 1000300 {
				out[rule.ID] = rule.Enabled
			}
		}
		return out
	}
	want := func(on ...int) {
		t.Helper()
		for id, enabled := range state() {
			if enabled != slices.Contains(on, id) {
				t.Errorf("rule %d is on: %v", id, enabled)
			}
		}
	}
	want(1000201, 1000204)

	if err := s.Disable(t.Context(), 1000201); err != nil {
		t.Fatal(err)
	}
	if err := s.Enable(t.Context(), 1000203); err != nil {
		t.Fatal(err)
	}
	want(1000203, 1000204)
	if err := s.Enable(t.Context(), 1000202); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a broken rule was enabled: %v", err)
	}
	var unknown *UnknownRulesError
	if err := s.Disable(t.Context(), 1000204, 42); !errors.As(err, &unknown) || len(unknown.IDs) != 1 {
		t.Errorf("an unknown rule was disabled: %v", err)
	}
	if err := s.Disable(t.Context(), SelftestID); err == nil {
		t.Error("the self-test's rule was disabled")
	}
	// The lists outlive an update.
	if _, err := s.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(1000203, 1000204)
	if got := engineLoads(t, s); got.Failed != 0 || got.Loaded != s.Status().Enabled+1 {
		t.Errorf("the engine loads %+v, want %d", got, s.Status().Enabled+1)
	}
}

func TestWithoutAnEngineThereAreRulesAllTheSame(t *testing.T) {
	absent := errors.New("no engine")
	s, err := New(Options{Dir: t.TempDir()}, Deps{Find: func(context.Context) (suricata.Binary, error) { return suricata.Binary{}, absent }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.Enabled < 20 || !st.Starter {
		t.Errorf("status: %+v", st)
	}
	if _, err := s.RuleSet(); err != nil {
		t.Error(err)
	}
	if _, err := s.Update(t.Context()); !errors.Is(err, absent) {
		t.Errorf("Update: %v", err)
	}
}

func TestASourceOutOfReachLeavesTheRulesInUse(t *testing.T) {
	needPrograms(t, "suricata", "suricata-update")
	s := newSet(t, Options{Sources: []string{"http://127.0.0.1:1/none.rules"}}, nil)
	before := s.Status()
	if _, err := s.Update(t.Context()); err == nil {
		t.Fatal("an update from nowhere succeeded")
	} else {
		t.Log(err)
	}
	after := s.Status()
	if after.Enabled != before.Enabled || after.Problem == "" {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, err := s.RuleSet(); err != nil {
		t.Error(err)
	}
}

func TestTheStateSurvivesARestart(t *testing.T) {
	needPrograms(t, "suricata", "suricata-update")
	s := newSet(t, Options{}, nil)
	again, err := New(s.opts, s.deps)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again.Status().Enabled != s.Status().Enabled {
		t.Errorf("%+v, was %+v", again.Status(), s.Status())
	}
}

func TestWhatChangedWhileTheProgramWasAwayIsUsedAtTheNextStart(t *testing.T) {
	needPrograms(t, "suricata", "suricata-update")
	s := newSet(t, Options{}, nil)
	before := s.Status().Enabled
	again := func(change func(*Options)) Status {
		t.Helper()
		o := s.opts
		change(&o)
		next, err := New(o, s.deps)
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		return next.Status()
	}
	write(t, s.path("local", "own.rules"), `alert ip any any -> any any (msg:"own"; content:"own"; sid:1000301; rev:1;)`+"\n")
	if got := again(func(*Options) {}).Enabled; got != before+1 {
		t.Errorf("a local rule: %d are on, want %d", got, before+1)
	}
	if got := again(func(o *Options) { o.Disable = []string{"1000301", "1900001"} }).Enabled; got != before-1 {
		t.Errorf("two disabled by the configuration: %d are on, want %d", got, before-1)
	}
	st := again(func(o *Options) { o.Local = []string{"/not/there.rules"} })
	if st.Enabled != before-1 {
		t.Errorf("a missing local file: %+v", st)
	}
}

func TestEmergingThreatsOpenPassesAsAFile(t *testing.T) {
	needPrograms(t, "suricata", "suricata-update")
	corpora := os.Getenv("DECODER_CORPORA")
	if corpora == "" || os.Getenv("DECODER_LONG") == "" {
		t.Skip("SKIPPED: needs DECODER_CORPORA, and DECODER_LONG=1 since it takes a minute")
	}
	s := newSet(t, Options{Sources: []string{"file://" + filepath.Join(corpora, "rules", "et-open-composite-2025-08.rules.gz")}}, nil)
	r, err := s.Update(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Enabled < 36000 {
		t.Errorf("report: %+v", r)
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want Rule
		ok   bool
	}{
		{`alert tcp any any -> any any (msg:"a\; b: \"c\""; sid:7; rev:3; classtype:bad-unknown;)`,
			Rule{ID: 7, Revision: 3, Action: "alert", Message: `a; b: "c"`, Class: "bad-unknown", Enabled: true}, true},
		{`# drop ip any any -> any any (msg:"x"; pcre:"/sid:9\;/"; sid:8;)`, Rule{ID: 8, Action: "drop", Message: "x"}, true},
		{`# a comment`, Rule{}, false},
		{`alert me when it rains`, Rule{}, false},
		{`alert ip any any -> any any (msg:"no id";)`, Rule{}, false},
		{``, Rule{}, false},
	}
	for _, tt := range tests {
		got, ok := parse(tt.line)
		got.Text = ""
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("parse(%s) = %+v, %v", tt.line, got, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`alert tcp any any -> any any (msg:"a"; sid:7;)`)
	f.Add(`alert ( \`)
	f.Add(`#alert x (";":";)`)
	f.Fuzz(func(t *testing.T, line string) {
		if r, ok := parse(line); ok && (r.ID <= 0 || !strings.Contains(line, r.Text)) {
			t.Errorf("parse(%q) = %+v", line, r)
		}
	})
}
