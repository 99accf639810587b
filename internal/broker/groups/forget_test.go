package groups

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// deletions are the ways an offset of the group "g" can go, and how each is
// answered.
var deletions = map[string]func(context.Context, *Manager) int16{
	"a group": func(ctx context.Context, m *Manager) int16 {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"g"}
		return m.Delete(ctx, req).Groups[0].ErrorCode
	},
	"offsets": func(ctx context.Context, m *Manager) int16 {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = "g"
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic, t.Partitions = "t", []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
		req.Topics = append(req.Topics, t)
		return m.DeleteOffsets(ctx, req).ErrorCode
	},
	"a topic": func(ctx context.Context, m *Manager) int16 {
		m.TopicDeleted(ctx, "t")
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
				go func() { answer <- remove(t.Context(), f.Manager) }()
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

func TestDeletionThatMayNotBeDurableIsNotAnsweredAsDone(t *testing.T) {
	for _, what := range []string{"a group", "offsets"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := begin(t)
				wantCode(t, "a commit", f.commit(committing("", -1, 5)), code.None)
				f.log.set(func(l *memoryLog) { l.hold = make(chan struct{}) })
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				wantCode(t, "the deletion", deletions[what](ctx, f.Manager), code.CoordinatorNotAvailable)
			})
		})
	}
}
