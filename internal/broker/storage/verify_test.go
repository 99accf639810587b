package storage

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Verify sees every byte that is changed, but for the journal, which is no more
// than a copy, and for what the CRC of a batch does not cover: the leader epoch.
func TestVerifySeesAnyByteThatChanged(t *testing.T) {
	whole := newCrashFS(1)
	s := open(t, whole)
	p := s.topic("t", 1, ConfigSegmentBytes, "16384").Partition(0)
	fillTopic(t, p, 9)
	s.stop()
	if v := verified(t, whole); len(v) > 0 {
		t.Fatalf("verify says %v of what is well", v)
	}
	rnd := rand.New(rand.NewPCG(1, 8))
	for _, name := range names(whole.now) {
		data := whole.now[name].data
		for at := range data {
			inBatch := 0
			if strings.HasSuffix(name, logSuffix) {
				h, _ := parseHeader(data)
				inBatch = at % h.size
			}
			switch {
			case strings.Contains(name, "journal"),
				strings.HasSuffix(name, logSuffix) && (inBatch >= offLeaderEpoch && inBatch < offMagic || inBatch > 200):
				continue
			}
			was := data[at]
			data[at] ^= byte(1 + rnd.IntN(255))
			if r, err := verify(t.Context(), whole, testDir); err == nil && len(r.Problems) == 0 {
				t.Errorf("%s byte %d, %#x for %#x: verify says well", name, at, data[at], was)
			}
			data[at] = was
		}
	}
}

func TestVerifySeesWhatIsMissing(t *testing.T) {
	for _, part := range []string{".log", ".index", topicFile} {
		fsys := newCrashFS(1)
		s := open(t, fsys)
		mustAppend(t, s.topic("t", 1).Partition(0), batch("a", 1, 100))
		s.stop()
		for _, name := range names(fsys.now) {
			if strings.HasSuffix(name, part) {
				delete(fsys.now, name)
			}
		}
		if v := verified(t, fsys); len(v) == 0 {
			t.Errorf("without %s verify says well", part)
		}
	}
}
