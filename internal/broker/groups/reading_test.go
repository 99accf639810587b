package groups

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

type offsets = map[string]map[int32]int64

// reads returns what the group "g" reads; nil when it does not count.
func (f *fixture) reads() offsets {
	for _, r := range f.Readings(func(group string) bool { return group == "g" }) {
		return r.Topics
	}
	return nil
}

func wantReads(t *testing.T, when string, got, want offsets) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want, +got):\n%s", when, d)
	}
}

func TestAGroupReadsOnFromItsOffsetsButNotWhatWasThereBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t, func(c *Config) {
			c.Ends = func(string) map[string]map[int32]int64 { return offsets{"t": {0: 5, 1: 7}} }
		})
		old := committing("", -1, 3)
		old.Topics[0].Topic = "read once"
		wantCode(t, "a commit before the group has members", f.commit(old), code.None)
		wantReads(t, "its topics are not known", f.reads(), offsets{"read once": {0: 3}})

		meta := kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}
		joined := <-f.join(joining("", func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = meta.AppendTo(nil) }))
		wantCode(t, "joining", joined.ErrorCode, code.None)
		<-f.sync(syncing(joined.MemberID, joined.Generation, map[string]string{joined.MemberID: "all"}))
		wantReads(t, "nothing is committed", f.reads(), offsets{"t": {0: 5, 1: 7}})
		wantCode(t, "history", f.commit(committing(joined.MemberID, joined.Generation, 2)), code.None)
		wantReads(t, "it reads history", f.reads(), offsets{"t": {0: 5, 1: 7}})
		wantCode(t, "news", f.commit(committing(joined.MemberID, joined.Generation, 9)), code.None)
		wantReads(t, "it reads news", f.reads(), offsets{"t": {0: 9, 1: 7}})
		if r := f.Readings(func(string) bool { return false }); r != nil {
			t.Errorf("nobody was asked for, and there is %v", r)
		}

		after := reopen(t, f.log)
		wantReads(t, "after a restart", after.reads(), offsets{"t": {0: 9}})
		f.TopicDeleted("t")
		wantReads(t, "the topic was deleted", f.reads(), offsets{"t": {}})
	})
}

func TestAGroupThatIsGoneHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		ids, generation := f.settled(1)
		wantCode(t, "a commit", f.commit(committing(ids[0], generation, 4)), code.None)
		time.Sleep(session + time.Second) // of the bubble's clock
		synctest.Wait()
		wantReads(t, "its member has just died", f.reads(), offsets{"t": {0: 4}})
		time.Sleep(patience)
		wantReads(t, "nobody has come", f.reads(), nil)
		f.settled(1)
		wantReads(t, "somebody has", f.reads(), offsets{"t": {0: 4}})
	})
}
