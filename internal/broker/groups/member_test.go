package groups

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

func TestJoinIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		id     string
		change func(*kmsg.JoinGroupRequest)
		want   int16
	}{
		{"no group", "", func(r *kmsg.JoinGroupRequest) { r.Group = "" }, code.InvalidGroupID},
		{"a long group", "", func(r *kmsg.JoinGroupRequest) { r.Group = strings.Repeat("g", maxName+1) }, code.InvalidGroupID},
		{"a long instance", "", static(strings.Repeat("i", maxName+1)), code.InvalidRequest},
		{"short session", "", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 10 }, code.InvalidSessionTimeout},
		{"long session", "", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 << 30 }, code.InvalidSessionTimeout},
		{"no protocol type", "", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }, code.InconsistentProtocol},
		{"no protocols", "", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }, code.InconsistentProtocol},
		{"another protocol type", "", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }, code.InconsistentProtocol},
		{"a protocol nobody else knows", "", knowing("own"), code.InconsistentProtocol},
		{"a stranger's id", "stranger", nil, code.UnknownMemberID},
		{"an unknown group's member", "x", func(r *kmsg.JoinGroupRequest) { r.Group = "other" }, code.UnknownMemberID},
		{"an unknown instance with an id", "x", static("i"), code.UnknownMemberID},
		{"one too many", "", nil, code.GroupMaxSizeReached},
		{"one too many, static", "", static("i"), code.GroupMaxSizeReached},
		{"a group too many", "", func(r *kmsg.JoinGroupRequest) { r.Group = "another" }, code.GroupMaxSizeReached},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t, func(c *Config) { c.MaxMembers, c.MaxGroups = 2, 1 })
				ids, generation := f.settled(2)
				r := joining(c.id)
				if c.change != nil {
					c.change(r)
				}
				got := <-f.join(r)
				wantCode(t, "joining", got.ErrorCode, c.want)
				if got.MemberID != c.id {
					t.Errorf("member id %q", got.MemberID)
				}
				f.wantState("Stable 2") // nobody else has noticed
				wantCode(t, "a heartbeat", f.beat(ids[0], generation), code.None)
			})
		})
	}
}

func TestWhatMembersSayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		large := func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = make([]byte, maxGroupBytes*2/3) }
		f.settled(1, static("a"), large)
		wantCode(t, "another", (<-f.join(joining("", large))).ErrorCode, code.GroupMaxSizeReached)
		f.wantState("Stable 1")
		r := <-f.join(joining("", static("a"), large))
		wantCode(t, "itself, come back", r.ErrorCode, code.None)
		f.assign(f.join(joining(r.MemberID, static("a"), large)))
		f.wantState("Stable 1")
	})
}

// What is written down has 16 bits for the length of a member's id.
func TestMemberWithALongClientIDIsReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		joined := f.Join(joining(""), Client{ID: strings.Repeat("c", math.MaxInt16)})(t.Context())
		<-f.sync(syncing(joined.MemberID, joined.Generation, nil))
		again := reopen(t, f.log)
		wantCode(t, "a heartbeat after a restart", again.beat(joined.MemberID, joined.Generation), code.None)
	})
}

// The frame a request came in is used again.
func TestMemberKeepsNothingOfItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		r := joining("")
		answer := f.join(r)
		clear(r.Protocols[0].Metadata)
		joined := <-answer
		if got := string(joined.Members[0].ProtocolMetadata); got != "wants range" {
			t.Errorf("it wants %q", got)
		}
	})
}

func TestMemberIsToldItsIDBeforeItCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		v4 := func(r *kmsg.JoinGroupRequest) { r.Version = 4 }
		first, late := <-f.join(joining("", v4)), <-f.join(joining("", v4))
		wantCode(t, "the first time", first.ErrorCode, code.MemberIDRequired)
		if first.MemberID == "" || first.MemberID == late.MemberID {
			t.Fatalf("ids %q and %q", first.MemberID, late.MemberID)
		}
		f.wantState("Empty 0")
		again := f.join(joining(first.MemberID, v4))
		synctest.Wait()
		f.wantState("PreparingRebalance 1")
		time.Sleep(session / 2) // the clock of the bubble
		synctest.Wait()
		f.wantState("PreparingRebalance 1") // the other may still come
		time.Sleep(session)
		f.assign(again)
		f.wantState("Stable 1")
		wantCode(t, "coming too late", (<-f.join(joining(late.MemberID, v4))).ErrorCode, code.UnknownMemberID)
	})
}

func TestHeartbeatTellsWhereTheGroupIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		wantCode(t, "no group", f.beat("x", 1), code.UnknownMemberID)
		ids, generation := f.settled(2)
		for _, c := range []struct {
			name       string
			id         string
			generation int32
			want       int16
		}{
			{"leader", ids[0], generation, code.None},
			{"follower", ids[1], generation, code.None},
			{"an older generation", ids[1], generation - 1, code.IllegalGeneration},
			{"a generation to come", ids[1], generation + 1, code.IllegalGeneration},
			{"a stranger", "stranger", generation, code.UnknownMemberID},
		} {
			wantCode(t, c.name, f.beat(c.id, c.generation), c.want)
		}
		third := f.join(joining(""))
		synctest.Wait()
		f.wantState("PreparingRebalance 3")
		wantCode(t, "while others join", f.beat(ids[0], generation), code.RebalanceInProgress)
		wantCode(t, "a sync meanwhile", (<-f.sync(syncing(ids[0], generation, nil))).ErrorCode, code.RebalanceInProgress)
		a, b := f.join(joining(ids[0])), f.join(joining(ids[1]))
		_, next := f.assign(a, b, third)
		if next != generation+1 {
			t.Errorf("generation %d follows %d", next, generation)
		}
		wantCode(t, "the generation before", f.beat(ids[0], generation), code.IllegalGeneration)
		wantCode(t, "this one", f.beat(ids[0], next), code.None)
	})
}

func TestSilentMemberIsOutAfterItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		ids, generation := f.settled(2)
		for range 5 { // one speaks, one does not
			time.Sleep(session / 4)
			f.beat(ids[0], generation)
		}
		synctest.Wait()
		f.wantState("PreparingRebalance 1")
		wantCode(t, "the silent one", f.beat(ids[1], generation), code.UnknownMemberID)
		wantCode(t, "the other", f.beat(ids[0], generation), code.RebalanceInProgress)
		f.assign(f.join(joining(ids[0])))
		f.wantState("Stable 1")
		time.Sleep(session + time.Second)
		synctest.Wait()
		f.wantState("Empty 0")
	})
}

// A session that runs out while the member's own heartbeat is being handled
// has not run out.
func TestHeartbeatInTheLastMomentCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		ids, generation := f.settled(1)
		g, _ := f.lock("g", false)
		time.Sleep(session)
		for range 1000 {
			runtime.Gosched() // the timer's goroutine comes to wait for the lock
		}
		g.alive(g.members[ids[0]])
		g.mu.Unlock()
		synctest.Wait()
		wantCode(t, "the next heartbeat", f.beat(ids[0], generation), code.None)
	})
}

func TestMemberThatDoesNotJoinAgainIsOutAfterTheRebalance(t *testing.T) {
	for name, c := range map[string]struct {
		change []func(*kmsg.JoinGroupRequest)
		state  string
	}{
		"dynamic": {nil, "CompletingRebalance 2"},
		"static":  {[]func(*kmsg.JoinGroupRequest){static("slow")}, "CompletingRebalance 3"}, // until its session ends
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				slow, leader := f.join(joining("", c.change...)), f.join(joining(""))
				ids, generation := f.assign(slow, leader)
				slowID := ids[1]
				if r := f.state(); r != "Stable 2" {
					t.Fatal(r)
				}
				if len(c.change) > 0 && slowID[:4] != "slow" {
					slowID = ids[0]
				}
				other := ids[0]
				if other == slowID {
					other = ids[1]
				}
				newcomer := f.join(joining(""))
				again := f.join(joining(other))
				for range 10 { // it is alive, but does not come
					time.Sleep(rebalance / 10)
					if len(c.change) > 0 {
						f.beat(slowID, generation, "slow")
					} else {
						f.beat(slowID, generation)
					}
				}
				time.Sleep(time.Second)
				wantCode(t, "the newcomer", (<-newcomer).ErrorCode, code.None)
				wantCode(t, "the old one", (<-again).ErrorCode, code.None)
				f.wantState(c.state)
			})
		})
	}
}

func TestFollowersAreSetFreeWhenTheLeaderDoesNotAssign(t *testing.T) {
	for name, leaderBeats := range map[string]bool{"it is gone": false, "it lives, and does nothing": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				first := <-f.join(joining("", static("a")))
				second := f.join(joining("", static("b")))
				again := f.join(joining(first.MemberID, static("a")))
				leader, follower := <-again, <-second
				if leader.MemberID != leader.LeaderID {
					t.Fatalf("%s leads", leader.LeaderID)
				}
				waits := f.sync(syncing(follower.MemberID, follower.Generation, nil))
				for range 4 * (rebalance / session) {
					if leaderBeats {
						f.beat(leader.MemberID, leader.Generation, "a")
					}
					time.Sleep(session / 4)
				}
				wantCode(t, "the follower's sync", (<-waits).ErrorCode, code.RebalanceInProgress)
				time.Sleep(2 * session) // it does not come back
				synctest.Wait()
				f.wantState("Empty 0")
			})
		})
	}
}

func TestLeavingStartsARebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t)
		wantCode(t, "no group", f.leave("x", ""), code.UnknownMemberID)
		ids, generation := f.settled(2)
		wantCode(t, "a stranger", f.leave("stranger", ""), code.UnknownMemberID)
		wantCode(t, "an unknown instance", f.leave("", "nobody"), code.UnknownMemberID)
		f.wantState("Stable 2")
		wantCode(t, "the leader", f.leave(ids[0], ""), code.None)
		f.wantState("PreparingRebalance 1")
		wantCode(t, "the leader again", f.leave(ids[0], ""), code.UnknownMemberID)
		again, next := f.assign(f.join(joining(ids[1])))
		if next != generation+1 || again[0] != ids[1] {
			t.Errorf("generation %d, leader %s", next, again[0])
		}
		wantCode(t, "the last", f.leave(ids[1], ""), code.None)
		f.wantState("Empty 0")
		wantCode(t, "its heartbeat", f.beat(ids[1], next), code.UnknownMemberID)
	})
}

func TestProtocolIsTheOneMostLikeOfThoseAllKnow(t *testing.T) {
	for want, members := range map[string][][]string{
		"range":       {{"range"}, {"cooperative-sticky", "range"}},
		"sticky":      {{"cooperative-sticky", "sticky", "range"}, {"sticky", "range"}, {"range", "sticky"}},
		"cooperative": {{"cooperative", "eager"}, {"cooperative", "eager"}, {"eager", "cooperative"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := begin(t)
			var answers []<-chan *kmsg.JoinGroupResponse
			for _, names := range members {
				answers = append(answers, f.join(joining("", knowing(names...))))
			}
			for _, a := range answers {
				r := <-a
				if *r.Protocol != want {
					t.Errorf("%v: %s was chosen", members, *r.Protocol)
				}
				if led := len(r.Members); (r.MemberID == r.LeaderID) != (led == len(members)) {
					t.Errorf("%s was told of %d members", r.MemberID, led)
				}
				for _, m := range r.Members {
					if string(m.ProtocolMetadata) != "wants "+want {
						t.Errorf("the leader was told %q", m.ProtocolMetadata)
					}
				}
			}
		})
	}
}

// A cooperative member joins again when it has given something back: the
// others keep what they have meanwhile, and only a changed wish, or the
// leader's, makes a new round.
func TestJoiningAgainMakesARoundOnlyIfSomethingChanged(t *testing.T) {
	for _, c := range []struct {
		name    string
		leader  bool
		changed bool
		round   bool
	}{
		{"follower, the same", false, false, false},
		{"follower, another wish", false, true, true},
		{"leader, the same", true, false, true},
		{"leader, another wish", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				ids, generation := f.settled(2, knowing("cooperative-sticky"))
				id := ids[1]
				if c.leader {
					id = ids[0]
				}
				r := joining(id, knowing("cooperative-sticky"))
				if c.changed {
					r.Protocols[0].Metadata = []byte("owns less")
				}
				answer := f.join(r)
				synctest.Wait()
				if !c.round {
					if got := <-answer; got.ErrorCode != code.None || got.Generation != generation || len(got.Members) != 0 {
						t.Errorf("%+v", got)
					}
					f.wantState("Stable 2")
					return
				}
				f.wantState("PreparingRebalance 2")
				other := ids[0]
				if c.leader {
					other = ids[1]
				}
				if _, next := f.assign(answer, f.join(joining(other, knowing("cooperative-sticky")))); next != generation+1 {
					t.Errorf("generation %d follows %d", next, generation)
				}
			})
		})
	}
}
