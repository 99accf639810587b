package groups

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

func TestOnlyWhoSpeaksForTheGroupCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t, func(c *Config) {
			c.Topic = func(topic string, _ int32) (id [16]byte, ok bool) { return id, topic == "t" }
		})
		wantCode(t, "a consumer that assigns itself", f.commit(committing("", -1, 1)), code.None)
		wantCode(t, "a member of no group", (<-f.sync(syncing("x", 1, nil))).ErrorCode, code.UnknownMemberID)
		ids, generation := f.settled(1)
		for _, c := range []struct {
			name       string
			id         string
			generation int32
			want       int16
		}{
			{"the member", ids[0], generation, code.None},
			{"an older generation", ids[0], generation - 1, code.IllegalGeneration},
			{"a generation to come", ids[0], generation + 1, code.IllegalGeneration},
			{"a stranger", "stranger", generation, code.UnknownMemberID},
			{"nobody, while there are members", "", -1, code.UnknownMemberID},
		} {
			wantCode(t, c.name, f.commit(committing(c.id, c.generation, 2)), c.want)
		}
		wantCode(t, "nobody's generation", f.commit(committing(ids[0], -1, 2)), code.IllegalGeneration)
		unknown := committing(ids[0], generation, 1)
		unknown.Topics[0].Topic = "other"
		wantCode(t, "an unknown topic", f.commit(unknown), code.UnknownTopicOrPartition)
		long := committing(ids[0], generation, 1)
		long.Topics[0].Partitions[0].Metadata = new(strings.Repeat("x", maxOffsetMetadata+1))
		wantCode(t, "long metadata", f.commit(long), code.OffsetMetadataTooLarge)

		other := f.join(joining(""))
		synctest.Wait()
		wantCode(t, "while others join", f.commit(committing(ids[0], generation, 3)), code.None) // what it has read, it has read
		again := <-f.join(joining(ids[0]))
		<-other
		wantCode(t, "before it is assigned", f.commit(committing(ids[0], again.Generation, 4)), code.RebalanceInProgress)
		if at := f.committed(); at != 3 {
			t.Errorf("committed %d", at)
		}
		f.close()
		f = begin(t) // as Kafka does
		wantCode(t, "who was a member, when nobody is", f.commit(committing("x", -1, 5)), code.None)
	})
}

// A commit counts when it has come, even if its sender does not wait.
func TestCommitCountsThoughItsSenderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		letGo, _ := f.log.held()
		f.Commit(committing("", -1, 5)) // its connection ends
		letGo()
		synctest.Wait()
		for _, m := range []*fixture{f, reopen(t, f.log)} {
			if at := m.committed(); at != 5 {
				t.Errorf("committed %d", at)
			}
		}
	})
}

func TestCommitIsOneRecordAPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		r := committing("", -1, 5)
		for range 9 {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
		}
		r.Topics[0].Partitions[9].Offset = 6
		if resp := f.Commit(r)(t.Context()); len(resp.Topics[0].Partitions) != 10 {
			t.Errorf("%d answers", len(resp.Topics[0].Partitions))
		}
		if n := len(f.log.records); n != 1 || f.committed() != 6 {
			t.Errorf("%d records, committed %d", n, f.committed())
		}
	})
}

func TestNothingIsAnsweredBeforeItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		hold := make(chan struct{})
		f.log.set(func(l *memoryLog) { l.hold = hold })
		commit := make(chan int16, 1)
		go func() { commit <- f.commit(committing("", -1, 5)) }()
		synctest.Wait()
		r := <-f.join(joining(""))
		part := f.sync(syncing(r.MemberID, r.Generation, map[string]string{r.MemberID: "all"}))
		synctest.Wait()
		select {
		case <-commit:
			t.Error("a commit was answered")
		case <-part:
			t.Error("an assignment was answered")
		default:
		}
		if at := f.committed(); at != -1 {
			t.Errorf("committed %d is seen", at)
		}
		close(hold)
		wantCode(t, "the commit", <-commit, code.None)
		if p := <-part; string(p.MemberAssignment) != "all" {
			t.Errorf("it was given %q", p.MemberAssignment)
		}
		if at := f.committed(); at != 5 {
			t.Errorf("committed %d", at)
		}
	})
}

func TestDiskThatFailsIsToldAndNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.None)
		f.log.set(func(l *memoryLog) { l.broken = true })
		wantCode(t, "a commit", f.commit(committing("", -1, 6)), code.CoordinatorNotAvailable)
		wantCode(t, "a deletion", f.delete("g", nil), code.CoordinatorNotAvailable)
		if at := f.committed(); at != 5 {
			t.Errorf("committed %d", at)
		}
		r := <-f.join(joining(""))
		part := <-f.sync(syncing(r.MemberID, r.Generation, nil))
		wantCode(t, "an assignment", part.ErrorCode, code.CoordinatorNotAvailable)
		f.wantState("PreparingRebalance 1")
		f.log.set(func(l *memoryLog) { l.broken = false })
		f.assign(f.join(joining(r.MemberID)))
		f.wantState("Stable 1")
	})
}

// Of two commits the one that the log has later counts, whichever is durable,
// or answered, first.
func TestLaterCommitCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		hold := make(chan struct{})
		f.log.set(func(l *memoryLog) { l.hold = hold })
		first := f.Commit(committing("", -1, 1))
		f.log.set(func(l *memoryLog) { l.hold = nil })
		f.Commit(committing("", -1, 2))(t.Context())
		close(hold)
		first(t.Context())
		if at := f.committed(); at != 2 {
			t.Errorf("committed %d", at)
		}
	})
}

func TestOffsetsOfAGroupWithoutMembersExpire(t *testing.T) {
	for name, c := range map[string]struct {
		members int
		keeps   bool
	}{"members": {1, true}, "none": {0, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t, func(c *Config) { c.Retention = time.Hour })
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- f.Run(ctx) }()
				var ids []string
				var generation int32
				wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.None)
				if c.members > 0 {
					ids, generation = f.settled(1)
				}
				for range 3 * time.Hour / (session / 2) {
					time.Sleep(session / 2)
					for _, id := range ids {
						f.beat(id, generation)
					}
				}
				if kept := f.committed() == 5; kept != c.keeps {
					t.Errorf("kept: %t", kept)
				}
				if there := len(f.List(kmsg.NewPtrListGroupsRequest()).Groups) == 1; there != c.keeps {
					t.Errorf("the group is there: %t", there)
				}
				cancel()
				<-done
				again := reopen(t, f.log)
				if kept := again.committed() == 5; kept != c.keeps {
					t.Errorf("kept in the log: %t", kept)
				}
			})
		})
	}
}

func TestDeletedGroupIsGoneForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		ids, generation := f.settled(1)
		wantCode(t, "a commit", f.commit(committing(ids[0], generation, 5)), code.None)
		wantCode(t, "with a member", f.delete("g", nil), code.NonEmptyGroup)
		f.leave(ids[0], "")
		wantCode(t, "without", f.delete("g", nil), code.None)
		wantCode(t, "again", f.delete("g", nil), code.GroupIDNotFound)
		for _, m := range []*fixture{f, reopen(t, f.log)} {
			m.wantState("Dead 0")
			if at := m.committed(); at != -1 {
				t.Errorf("committed %d", at)
			}
			if g := m.List(kmsg.NewPtrListGroupsRequest()).Groups; len(g) != 0 {
				t.Errorf("groups %+v", g)
			}
		}
	})
}

func TestClosedManagerSetsEverybodyFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		f.settled(1)
		waits := f.join(joining(""))
		synctest.Wait()
		f.close()
		wantCode(t, "who waits", (<-waits).ErrorCode, code.CoordinatorNotAvailable)
		wantCode(t, "who comes", (<-f.join(joining(""))).ErrorCode, code.CoordinatorNotAvailable)
		wantCode(t, "a commit", f.commit(committing("", -1, 1)), code.CoordinatorNotAvailable)
	})
}

// TestMembersAtRandomAlwaysSettle has members come, go, fall silent and come
// back at random. Whatever happened, those left settle; a generation is never
// given to two rounds, nor an instance to two members.
func TestMembersAtRandomAlwaysSettle(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			world := newWorld(t)
			f, disk := &world.fixture, make(chan struct{})
			var members []*walker
			stop := make(chan struct{})
			go world.turn(rand.New(rand.NewPCG(seed, 9)), stop, disk)
			for i := range 5 {
				w := &walker{f: f, log: world.log, rnd: rand.New(rand.NewPCG(seed, uint64(i+2))), stop: stop, done: make(chan struct{}), seen: map[int32]string{}}
				if i < 2 {
					w.instance = fmt.Sprint("static-", i)
				}
				members = append(members, w)
				go w.run()
			}
			time.Sleep(time.Duration(60+rnd.IntN(60)) * time.Second)
			for g := range f.all() {
				for instance, id := range g.static {
					if g.members[id] == nil || *g.members[id].InstanceID != instance {
						t.Errorf("seed %d: instance %s is %s, which is no member", seed, instance, id)
					}
				}
			}
			close(stop) // from now on all live, and nobody comes or goes
			time.Sleep(3 * rebalance)
			f.wantState("Stable 5")
			synctest.Wait() // who was told has acted on it
			again := world.reopen()
			if d := cmp.Diff(tells(again, true), tells(f.Manager, true)); d != "" {
				t.Errorf("seed %d: the log (-) and memory (+) differ:\n%s", seed, d)
			}
			again.close()
			var all []string
			for _, w := range members {
				close(w.done)
				all = append(all, w.part)
				for generation, leader := range w.seen {
					for _, o := range members {
						if other, ok := o.seen[generation]; ok && other != leader {
							t.Errorf("seed %d: generation %d was led by %s and %s", seed, generation, leader, other)
						}
					}
				}
			}
			slices.Sort(all)
			if n := len(slices.Compact(all)); n != len(members) {
				t.Errorf("seed %d: %d parts for %d members: %v", seed, n, len(members), all)
			}
			time.Sleep(session)
			f.close()
			synctest.Wait()
			close(disk)
		})
	}
}

// turn writes to the disk now and then, and fails now and then until steady.
func (w *world) turn(rnd *rand.Rand, steady, end <-chan struct{}) {
	for {
		select {
		case <-end:
			w.log.settle(rnd, nil)
			return
		case <-time.After(time.Duration(rnd.IntN(200)) * time.Millisecond):
		}
		var err error
		if rnd.IntN(4) == 0 && !ended(steady) {
			err = errDisk
		}
		w.log.settle(rnd, err)
	}
}

// walker is a member that misbehaves at random until stop.
type walker struct {
	f          *fixture
	log        *slowLog
	rnd        *rand.Rand
	instance   string
	id         string
	part       string
	seen       map[int32]string // generation and the leader it was told
	stop, done chan struct{}
}

func (w *walker) request() *kmsg.JoinGroupRequest {
	if w.instance != "" {
		return joining(w.id, static(w.instance))
	}
	return joining(w.id)
}

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (w *walker) run() {
	for !ended(w.done) {
		r := <-w.f.join(w.request())
		switch r.ErrorCode {
		case code.None:
			w.id = r.MemberID
			w.member(r)
		case code.UnknownMemberID, code.FencedInstanceID:
			w.id = ""
		}
	}
}

// member is one round.
func (w *walker) member(r *kmsg.JoinGroupResponse) {
	if len(r.Members) > 0 {
		w.seen[r.Generation] = r.MemberID
	}
	if w.misbehaves() {
		return
	}
	given := map[string]string{}
	for _, m := range r.Members {
		given[m.MemberID] = m.MemberID
	}
	s := <-w.f.sync(syncing(w.id, r.Generation, given))
	if s.ErrorCode != code.None {
		return
	}
	w.part = string(s.MemberAssignment)
	for !ended(w.done) {
		time.Sleep(session / 5)
		at := time.Now().UnixNano() + int64(w.rnd.IntN(1000))
		if w.f.commit(committing(w.id, r.Generation, at)) == code.None && !w.log.has(at) {
			w.f.t.Errorf("the commit of %d was answered, and is not in the log", at)
		}
		if w.f.beat(w.id, r.Generation) != code.None || w.misbehaves() {
			return
		}
	}
}

// misbehaves leaves, or is silent for a while and forgets who it was, now and
// then.
func (w *walker) misbehaves() bool {
	if ended(w.stop) {
		return false
	}
	switch w.rnd.IntN(12) {
	case 0:
		w.f.leave(w.id, w.instance)
		w.id = ""
	case 1:
		time.Sleep(time.Duration(w.rnd.Int64N(int64(2 * session))))
	case 2:
		time.Sleep(time.Duration(w.rnd.Int64N(int64(2 * session))))
		w.id = "" // a restart
	default:
		return false
	}
	return true
}
