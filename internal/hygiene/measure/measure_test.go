package measure_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/hygiene/measure"
)

func TestIntervalIsWilsons(t *testing.T) {
	for _, tt := range []struct {
		c         measure.Count
		low, high float64
	}{
		{measure.Count{N: 0, Of: 180}, 0, 0.0209},
		{measure.Count{N: 1, Of: 180}, 0.00098, 0.0308},
		{measure.Count{N: 50, Of: 100}, 0.4038, 0.5962},
	} {
		low, high := tt.c.Interval()
		if math.Abs(low-tt.low) > 5e-4 || math.Abs(high-tt.high) > 5e-4 {
			t.Errorf("%v: %.4f–%.4f, want %.4f–%.4f", tt.c, low, high, tt.low, tt.high)
		}
	}
}

func TestChecksOnTheCorpora(t *testing.T) {
	root := os.Getenv("DECODER_CORPORA")
	if root == "" {
		t.Skip("set DECODER_CORPORA to the folder of the unpacked corpora")
	}
	lists, err := hygiene.Load("")
	if err != nil {
		t.Fatal(err)
	}
	e := hygiene.New(hygiene.Config{Disabled: []string{"auth_fail"}}, lists, nil, nil)
	sa := filepath.Join(root, "email", "spamassassin-corpus")
	easy := []string{filepath.Join(sa, "easy-ham-1"), filepath.Join(sa, "easy-ham-2"), filepath.Join(sa, "hard-ham-1")}
	r, err := measure.Folders(t.Context(), e, mail.Options{}, []string{filepath.Join(root, "email", "phishing_pot")}, easy)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	for _, m := range r.False {
		t.Logf("false: %s %d %+v", m.Path, m.Verdict.Score, m.Verdict.Checks)
	}
	if c := r.Suspect.Bad; c.Of < 200 || float64(c.N) < 0.70*float64(c.Of) {
		t.Errorf("caught %v, want 70 %%", c)
	}
	if n := r.Suspect.Good[0].N + r.Suspect.Good[1].N; n > 1 {
		t.Errorf("%d false alarms on easy ham, want at most 1", n)
	}
	if n := r.Suspect.Good[2].N; n > 3 {
		t.Errorf("%d false alarms on hard ham, want at most 3", n)
	}
	if os.Getenv("DECODER_SHOW_MISSED") != "" {
		for _, m := range r.Missed {
			t.Logf("missed: %s %d %v", filepath.Base(m.Path), m.Verdict.Score, names(m.Verdict))
		}
	}
}

func names(v hygiene.Verdict) (out []string) {
	for _, c := range v.Checks {
		out = append(out, c.Name)
	}
	return out
}
