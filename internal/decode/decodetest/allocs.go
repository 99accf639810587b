package decodetest

import "testing"

// NoAllocs fails when f, called again and again, allocates. Under the race
// detector, which makes pools forget on purpose, f is called and nothing is
// counted.
func NoAllocs(t testing.TB, what string, f func()) {
	t.Helper()
	f()
	if raceEnabled {
		return
	}
	if n := testing.AllocsPerRun(1000, f); n > 0 {
		t.Errorf("%v allocations: %.200s", n, what)
	}
}
