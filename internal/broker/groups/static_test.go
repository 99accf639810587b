package groups

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// one has static members "a" and "b" settle, and returns their ids.
func (f *fixture) staticPair() (a, b string, generation int32) {
	f.t.Helper()
	ids, generation := f.assign(f.join(joining("", static("a"))), f.join(joining("", static("b"))))
	for _, id := range ids {
		if id[0] == 'a' {
			a = id
		} else {
			b = id
		}
	}
	return a, b, generation
}

func TestStaticMemberComesBackToWhatItHad(t *testing.T) {
	for _, instance := range []string{"a", "b"} { // one of them leads
		synctest.Test(t, func(t *testing.T) {
			f := begin(t)
			a, b, generation := f.staticPair()
			old, other, otherName := a, b, "b"
			if instance == "b" {
				old, other, otherName = b, a, "a"
			}
			r := <-f.join(joining("", static(instance)))
			wantCode(t, "coming back", r.ErrorCode, code.None)
			if r.MemberID == old || r.Generation != generation {
				t.Fatalf("id %s, generation %d of %d", r.MemberID, r.Generation, generation)
			}
			f.wantState("Stable 2")
			part := <-f.sync(syncing(r.MemberID, generation, nil))
			if part.ErrorCode != code.None || string(part.MemberAssignment) != "part of "+old {
				t.Errorf("it was given %q, error code %d", part.MemberAssignment, part.ErrorCode)
			}
			wantCode(t, "the other", f.beat(other, generation, otherName), code.None)

			// Its former self is fenced in all it does.
			wantCode(t, "heartbeat", f.beat(old, generation, instance), code.FencedInstanceID)
			s := syncing(old, generation, nil)
			s.InstanceID = &instance
			wantCode(t, "sync", (<-f.sync(s)).ErrorCode, code.FencedInstanceID)
			c := committing(old, generation, 1)
			c.InstanceID = &instance
			wantCode(t, "commit", f.commit(c), code.FencedInstanceID)
			wantCode(t, "join", (<-f.join(joining(old, static(instance)))).ErrorCode, code.FencedInstanceID)
			wantCode(t, "leave", f.leave(old, instance), code.FencedInstanceID)
			f.wantState("Stable 2")
		})
	}
}

func TestStaticMemberWithAnotherWishMakesARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		_, b, generation := f.staticPair()
		wish := joining("", static("a"))
		wish.Protocols[0].Metadata = []byte("another topic")
		answer := f.join(wish)
		synctest.Wait()
		f.wantState("PreparingRebalance 2")
		if _, next := f.assign(answer, f.join(joining(b, static("b")))); next != generation+1 {
			t.Errorf("generation %d follows %d", next, generation)
		}
	})
}

func TestStaticMemberIsTakenOverWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		first := f.join(joining("", static("a")))
		synctest.Wait()
		second := f.join(joining("", static("a")))
		wantCode(t, "the first", (<-first).ErrorCode, code.FencedInstanceID)
		f.assign(second)
		f.wantState("Stable 1")
	})
}

// What a member owned says nothing of what it wants: it comes back without.
func TestCooperativeStaticMemberComesBackWithoutARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		wants := func(topics ...string) func(*kmsg.JoinGroupRequest) {
			return func(r *kmsg.JoinGroupRequest) {
				meta := kmsg.ConsumerMemberMetadata{Version: 1, Topics: topics}
				if r.MemberID != "" { // not its first
					meta.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "t", Partitions: []int32{1}}}
				}
				r.Protocols[0].Metadata = meta.AppendTo(nil)
			}
		}
		ids, _ := f.assign(f.join(joining("", static("a"), wants("t", "u"))))
		_, generation := f.assign(f.join(joining(ids[0], static("a"), wants("t", "u"))))
		r := <-f.join(joining("", static("a"), wants("u", "t")))
		if r.ErrorCode != code.None || r.Generation != generation || !r.SkipAssignment {
			t.Errorf("error code %d, generation %d of %d, skips %t", r.ErrorCode, r.Generation, generation, r.SkipAssignment)
		}
		if r = <-f.join(joining("", static("a"), wants("t"))); r.Generation != generation+1 {
			t.Errorf("with another wish: generation %d of %d", r.Generation, generation)
		}
	})
}

// After a crash the log has the id that the member was told, or it was told
// none: it would be fenced by its former self.
func TestStaticMemberIsToldItsNewIDWhenThatIsDurable(t *testing.T) {
	for name, fails := range map[string]bool{"written": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				_, _, generation := f.staticPair()
				letGo, lose := f.log.held()
				answer := f.join(joining("", static("a")))
				synctest.Wait()
				select {
				case r := <-answer:
					t.Fatalf("it was told %s", r.MemberID)
				default:
				}
				if fails {
					lose()
					wantCode(t, "coming back", (<-answer).ErrorCode, code.CoordinatorNotAvailable)
					answer = f.join(joining("", static("a")))
				} else {
					letGo()
				}
				r := <-answer
				wantCode(t, "coming back", r.ErrorCode, code.None)
				for _, m := range []*fixture{f, reopen(t, f.log)} {
					wantCode(t, "a heartbeat", m.beat(r.MemberID, generation, "a"), code.None)
				}
			})
		})
	}
}

func TestStaticMemberThatComesTwiceIsToldTheIDThatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		f.staticPair()
		letFirstGo, _ := f.log.held()
		first := f.join(joining("", static("a")))
		synctest.Wait()
		letSecondGo, _ := f.log.held()
		second := f.join(joining("", static("a")))
		wantCode(t, "the first", (<-first).ErrorCode, code.FencedInstanceID)
		letFirstGo()
		synctest.Wait()
		if len(second) != 0 {
			t.Errorf("the second was told %s", (<-second).MemberID)
		}
		letSecondGo()
		wantCode(t, "the second", (<-second).ErrorCode, code.None)
	})
}

func TestStaticMemberIsAnsweredWhateverHappensWhileItIsWritten(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*fixture)
		want    int16
	}{
		"it comes again":  {func(f *fixture) { f.join(joining("", static("a"))) }, code.FencedInstanceID},
		"another joins":   {func(f *fixture) { f.join(joining("")) }, code.RebalanceInProgress},
		"it is put out":   {func(f *fixture) { f.leave("", "a") }, code.UnknownMemberID},
		"the broker ends": {func(f *fixture) { f.close() }, code.CoordinatorNotAvailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				f.staticPair()
				letGo, _ := f.log.held()
				answer := f.join(joining("", static("a")))
				synctest.Wait()
				c.happens(f)
				wantCode(t, "coming back", (<-answer).ErrorCode, c.want)
				letGo()
				time.Sleep(3 * rebalance) // nobody is answered twice
			})
		})
	}
}

func TestStaticMemberIsMissedWhenItsSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		a, _, generation := f.staticPair()
		for range 5 {
			time.Sleep(session / 4)
			f.beat(a, generation, "a")
		}
		synctest.Wait()
		f.wantState("PreparingRebalance 1")
		wantCode(t, "an administrator", f.leave("", "a"), code.None)
		synctest.Wait()
		f.wantState("Empty 0")
	})
}

// A group as the log has it is what it was: no member has to join again.
func TestGroupIsReadBackFromItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		a, b, generation := f.staticPair()
		wantCode(t, "a commit", f.commit(committing(a, generation, 42)), code.None)

		again := reopen(t, f.log)
		again.wantState("Stable 2")
		wantCode(t, "a heartbeat", again.beat(a, generation, "a"), code.None)
		if at := again.committed(); at != 42 {
			t.Errorf("committed %d", at)
		}
		part := <-again.sync(syncing(b, generation, nil))
		if string(part.MemberAssignment) != "part of "+b {
			t.Errorf("it was given %q", part.MemberAssignment)
		}
		r := <-again.join(joining("", static("b")))
		if r.ErrorCode != code.None || r.Generation != generation {
			t.Errorf("coming back: error code %d, generation %d", r.ErrorCode, r.Generation)
		}
		time.Sleep(session + time.Second) // their sessions began anew
		synctest.Wait()
		again.wantState("Empty 0")

		if got := reopen(t, f.log).state(); got != "Empty 0" {
			t.Errorf("the empty group came back as %s", got)
		}
	})
}

func TestUnknownRecordsOfTheLogAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		wantCode(t, "a commit", f.commit(committing("", -1, 7)), code.None)
		for _, r := range []Record{
			{}, {Key: []byte{0}}, {Key: []byte{0, 99, 1}, Value: []byte("of a newer kind")},
			{Key: []byte{0, 1, 0xff}, Value: []byte("x")}, {Key: []byte{0, 2, 0, 9}, Value: []byte("x")},
			{Key: metadataKey("h"), Value: []byte{0}}, {Key: offsetKey("g", topicPartition{"u", 0}), Value: []byte{9}},
		} {
			f.log.set(func(l *memoryLog) { l.records = append(l.records, r) })
		}
		again := reopen(t, f.log)
		if at := again.committed(); at != 7 {
			t.Errorf("committed %d", at)
		}
	})
}
