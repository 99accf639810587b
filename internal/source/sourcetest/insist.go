package sourcetest

import (
	"sync/atomic"
	"testing"
	"time"
)

// Insist makes Feed and Acknowledged of a case of a sender that keeps what was
// not taken and comes again. send offers the i-th item and returns nil when it
// was told that the item is safe; it may be called while the source is away.
func Insist(send func(i int) error) (feed func(t testing.TB, n int), acknowledged func() int) {
	var fed, told atomic.Int64
	feed = func(t testing.TB, n int) {
		first := int(fed.Add(int64(n))) - n
		go func() {
			for i := first; i < first+n; i++ {
				for send(i) != nil {
					select {
					case <-t.Context().Done():
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
				told.Add(1)
			}
		}()
	}
	return feed, func() int { return int(told.Load()) }
}
