package replay

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCopiesOfACaptureAreFedOnce replays copies under several names, packed
// and not, one behind the other, so that the first is still on its way to the
// log when the next is looked at.
func TestCopiesOfACaptureAreFedOnce(t *testing.T) {
	dir := t.TempDir()
	whole := writePcap(t, filepath.Join(dir, "a.pcap"), 1, 3)
	write(t, filepath.Join(dir, "b.pcap"), whole)
	write(t, filepath.Join(dir, "c.pcap.gz"), packed(t, whole))
	torn := whole[:len(whole)-7]
	write(t, filepath.Join(dir, "d-torn.pcap"), torn)
	write(t, filepath.Join(dir, "e-torn.pcap.gz"), packed(t, torn))
	log := &fakeLog{}
	r := newReplayer(t, t.TempDir(), log)
	r.workers.find = fakeEngine(t)
	start(t, r)
	q := Request{Paths: []string{dir}, Rules: []string{rulesFile(t)}}
	for range 2 {
		j := wait(t, r, submit(t, r, q))
		for i, packets := range []int{3, 3, 3, 2, 2} {
			c := j.Captures[i]
			want := Capture{
				Name: c.Name, Path: c.Path, State: Done, SHA256: c.SHA256, Size: c.Size, Packets: int64(packets),
				Events: map[string]int{"alert": packets}, Alerts: map[string]int{"1000900": packets},
			}
			if packets == 2 {
				want.Error = "truncated after 2 packets"
			}
			if d := cmp.Diff(want, c); d != "" {
				t.Errorf("%s:\n%s", c.Name, d)
			}
		}
		if len(log.records) != 5 || len(log.origins) != 5 {
			t.Errorf("%d records with %d origins, want 5", len(log.records), len(log.origins))
		}
	}
}

// TestPackedCaptureOfAnEarlierVersionIsKnown begins with an account as versions
// wrote it that took the hash of a packed file as it lies there.
func TestPackedCaptureOfAnEarlierVersionIsKnown(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("kept %t", kept), func(t *testing.T) {
			dir, data := t.TempDir(), t.TempDir()
			whole := writePcap(t, filepath.Join(dir, "plain.pcap"), 1, 3)
			gz := packed(t, whole)
			write(t, filepath.Join(dir, "packed.pcap.gz"), gz)
			log := &fakeLog{}
			r := newReplayer(t, data, log)
			r.workers.find = fakeEngine(t)
			asked := map[string]bool{}
			r.deps.Kept = func(_ context.Context, origin string) (bool, error) {
				asked[origin] = true
				return kept, nil
			}
			q := Request{Paths: []string{filepath.Join(dir, "packed.pcap.gz")}, Rules: []string{rulesFile(t)}}
			id := submit(t, r, q)
			rules, err := r.rules(*r.jobs[id])
			if err != nil {
				t.Fatal(err)
			}
			hash, err := r.workers.hash(t.Context(), rules)
			if err != nil {
				t.Fatal(err)
			}
			sum := fmt.Sprintf("%x", sha256.Sum256(gz))
			write(t, r.accountPath(sum, hash), []byte(`{"round":2,"lines":3,"packets":3,"events":{"alert":3},"alerts":{"1000900":3},"complete":true}`))
			start(t, r)
			first := wait(t, r, id).Captures[0]
			if first.Alerts["1000900"] != 3 || first.Packets != 3 || first.Error != "" {
				t.Errorf("the packed one: %+v", first)
			}
			if origin := "suricata:capture-" + sum + "-" + hash + ".2:0"; !asked[origin] {
				t.Errorf("it is not asked whether %s is kept, but of %v", origin, asked)
			}
			wantFed := 0
			if !kept {
				wantFed = 3
			}
			if len(log.origins) != wantFed {
				t.Errorf("%d records were fed, want %d", len(log.origins), wantFed)
			}
			if !kept {
				return
			}
			q.Paths = []string{filepath.Join(dir, "plain.pcap")}
			if c := wait(t, r, submit(t, r, q)).Captures[0]; c.Alerts["1000900"] != 3 || len(log.origins) != 0 {
				t.Errorf("the plain one behind it: %d records were fed, %+v", len(log.origins), c)
			}
		})
	}
}

func TestAccountsOfUnreadCapturesSayWhyAgain(t *testing.T) {
	needEngine(t)
	path := filepath.Join(t.TempDir(), "radio.pcap")
	writePcap(t, path, 127, 5)
	r := newReplayer(t, t.TempDir(), &fakeLog{})
	start(t, r)
	q := Request{Paths: []string{path}, Rules: []string{rulesFile(t)}}
	first := wait(t, r, submit(t, r, q)).Captures
	if d := cmp.Diff(first, wait(t, r, submit(t, r, q)).Captures); d != "" || first[0].Error == "" {
		t.Errorf("%q, then\n%s", first[0].Error, d)
	}
	if known, err := os.ReadDir(filepath.Join(r.opts.Dir, "known")); err != nil || len(known) != 1 {
		t.Errorf("%d accounts, %v", len(known), err)
	}
}
