package groups

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// deletions are the ways an offset of the group "g" can go, and how each is
// answered.
var deletions = map[string]func(*Manager) int16{
	"a group": func(m *Manager) int16 {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"g"}
		return m.Delete(req).Groups[0].ErrorCode
	},
	"offsets": func(m *Manager) int16 {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = "g"
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic, t.Partitions = "t", []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
		req.Topics = append(req.Topics, t)
		return m.DeleteOffsets(req).ErrorCode
	},
	"a topic": func(m *Manager) int16 {
		m.TopicDeleted("t")
		return code.None // it was deleted before
	},
}

// Who is told of a deletion does not find what was deleted after a crash.
func TestDeletionIsAnsweredWhenItIsDurable(t *testing.T) {
	for what, remove := range deletions {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.None)
				hold := make(chan struct{})
				f.log.set(func(l *memoryLog) { l.hold = hold })
				answer := make(chan int16, 1)
				go func() { answer <- remove(f.Manager) }()
				synctest.Wait()
				select {
				case c := <-answer:
					t.Error("it was answered before")
					answer <- c
				default:
				}
				close(hold)
				synctest.Wait()
				wantCode(t, "the deletion", <-answer, code.None)
				for _, m := range []*fixture{f, reopen(t, f.log)} {
					if at := m.committed(); at != -1 {
						t.Errorf("committed %d", at)
					}
				}
			})
		})
	}
}

// A deletion that was not durable has not happened, and can be asked for again.
func TestDeletionThatFailsIsToldAndCanBeRepeated(t *testing.T) {
	for _, what := range []string{"a group", "offsets"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.None)
				_, lose := f.log.held()
				answer := make(chan int16, 1)
				go func() { answer <- deletions[what](f.Manager) }()
				synctest.Wait()
				lose()
				wantCode(t, "the deletion", <-answer, code.CoordinatorNotAvailable)
				for _, m := range []*fixture{f, reopen(t, f.log)} {
					if at := m.committed(); at != 5 {
						t.Errorf("committed %d", at)
					}
				}
				wantCode(t, "again", deletions[what](f.Manager), code.None)
				for _, m := range []*fixture{f, reopen(t, f.log)} {
					if at := m.committed(); at != -1 {
						t.Errorf("committed %d", at)
					}
				}
			})
		})
	}
}

// A commit that is on its way to the disk is older than a deletion that comes
// behind it, whoever is told first; one that comes behind the deletion is not.
func TestCommitsAndDeletionsCountInTheOrderTheyCame(t *testing.T) {
	for what, remove := range deletions {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				letGo, _ := f.log.held()
				before := f.Commit(committing("", -1, 5))
				f.log.set(func(l *memoryLog) { l.hold = nil })
				wantCode(t, "the deletion", remove(f.Manager), code.None)
				letGo()
				before(t.Context())
				for _, m := range []*fixture{f, reopen(t, f.log)} {
					if at := m.committed(); at != -1 {
						t.Errorf("committed %d", at)
					}
				}
				wantCode(t, "a commit after it", f.commit(committing("", -1, 6)), code.None)
				for _, m := range []*fixture{f, reopen(t, f.log)} {
					if at := m.committed(); at != 6 {
						t.Errorf("committed %d", at)
					}
				}
			})
		})
	}
}

// Between the deletion of a topic and that of its offsets there may be a crash,
// or the disk may fail.
func TestOffsetsOfATopicDoNotPassToItsNamesake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := [16]byte{1}
		topics := func(c *Config) {
			c.Topic = func(string, int32) ([16]byte, bool) { return id, true }
		}
		f := begin(t, topics)
		wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.None)
		f.log.set(func(l *memoryLog) { l.broken = true })
		id = [16]byte{2}
		f.TopicDeleted("t")
		for _, m := range []*fixture{f, reopen(t, f.log, topics)} {
			if at := m.committed(); at != -1 {
				t.Errorf("committed %d", at)
			}
		}
		f.log.set(func(l *memoryLog) { l.broken = false })
		wantCode(t, "a commit", f.commit(committing("", -1, 6)), code.None)
		if at := reopen(t, f.log, topics).committed(); at != 6 {
			t.Errorf("committed %d", at)
		}
	})
}

func TestCommitIsNotForgottenWhileItIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t, func(c *Config) { c.Retention = time.Hour })
		wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.None)
		time.Sleep(2 * time.Hour)
		letGo, _ := f.log.held()
		wait := f.Commit(committing("", -1, 6))
		f.log.set(func(l *memoryLog) { l.hold = nil })
		f.expire()
		letGo()
		wait(t.Context())
		for _, m := range []*fixture{f, reopen(t, f.log)} {
			if at := m.committed(); at != 6 {
				t.Errorf("committed %d", at)
			}
		}
	})
}

// What was refused leaves no group behind, of which there may be only so many.
func TestGroupThatNeverWasIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t, func(c *Config) {
			c.Topic = func(string, int32) (id [16]byte, ok bool) { return id, false }
		})
		wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.UnknownTopicOrPartition)
		asked := <-f.join(joining("", func(r *kmsg.JoinGroupRequest) { r.Version, r.Group = 4, "h" }))
		wantCode(t, "a join", asked.ErrorCode, code.MemberIDRequired)
		f.expire()
		if n := f.Count(); n != 1 { // one may still come
			t.Errorf("%d groups", n)
		}
		time.Sleep(2 * session)
		f.expire()
		if n := f.Count(); n != 0 {
			t.Errorf("%d groups", n)
		}
	})
}

func TestGroupThatComesToLifeIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := begin(t, func(c *Config) { c.Retention = time.Hour })
		for _, group := range []string{"a", "g"} {
			joined := <-f.join(joining("", func(r *kmsg.JoinGroupRequest) { r.Group = group }))
			wantCode(t, "joining", joined.ErrorCode, code.None)
		}
		time.Sleep(2 * time.Hour) // both have lost their members
		letGo, _ := f.log.held()
		done := make(chan struct{})
		go func() { f.expire(); close(done) }()
		synctest.Wait() // it waits for the first to be gone
		f.log.set(func(l *memoryLog) { l.hold = nil })
		wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.None)
		letGo()
		<-done
		for _, m := range []*fixture{f, reopen(t, f.log)} {
			if at := m.committed(); at != 5 || m.Count() != 1 {
				t.Errorf("committed %d, %d groups", at, m.Count())
			}
		}
	})
}
