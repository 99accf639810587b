package bus

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/decodersring/decoder/internal/obs"
)

// TestLagBeginsWhereTheLogDoes has a group that stands before what retention
// has cut, and one that has committed nothing.
func TestLagBeginsWhereTheLogDoes(t *testing.T) {
	b, err := Open(t.Context(), Config{Dir: t.TempDir(), Relaxed: true}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Ensure(t.Context(), Lookup(TopicTriage)); err != nil {
		t.Fatal(err)
	}
	p := Partition{Topic: TopicTriage}
	for range 5 {
		r := &Record{Topic: p.Topic, Key: []byte("k"), Value: []byte("v")}
		if err := b.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		p.Partition = r.Partition
	}
	for group, at := range map[string]int64{"behind": 1, "between": 4, "done": 5} {
		if err := b.SetCommitted(t.Context(), group, map[Partition]int64{p: at}); err != nil {
			t.Fatal(err)
		}
	}
	cut := kadm.Offsets{}
	cut.AddOffset(p.Topic, p.Partition, 3, -1)
	answers, err := b.admin.DeleteRecords(t.Context(), cut)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	for group, want := range map[string]int64{"behind": 2, "between": 1, "done": 0} {
		groups, err := b.Groups(t.Context(), group)
		if err != nil || len(groups) != 1 || groups[0].Lag != want {
			t.Errorf("%s: %+v, %v, want a lag of %d", group, groups, err, want)
		}
		if len(groups) == 1 && (groups[0].LagSeconds > 0) != (want > 0) {
			t.Errorf("%s is %v s behind with a lag of %d", group, groups[0].LagSeconds, want)
		}
	}
}
