package vlogs

import (
	"context"
	"fmt"
	"syscall"

	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/fault"
)

// The library ends the process when it cannot write what it has in memory. So
// the store takes nothing more while some disk is still free, and writes what
// it has at once.

// room reports whether the store may take documents: whether enough disk is
// free. Once it was not, an eighth more has to be.
func (s *Store) room() error {
	free, err := freeDisk(s.cfg.Dir)
	if err != nil {
		return fault.NewRetry("disk_unknown", err)
	}
	wanted := s.cfg.MinFreeBytes
	if s.low.Load() {
		wanted += wanted / 8
	}
	if s.low.Store(free < wanted); free >= wanted {
		return nil
	}
	return fault.NewRetry("disk_low", fmt.Errorf("%s are free on the disk of %s, and nothing is stored below %s: free some",
		config.Size(free), s.cfg.Dir, config.Size(wanted)))
}

func freeDisk(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the free disk of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// mayFlush refuses to write out what is in memory where it would not fit, or
// might not while another program fills the disk.
func (s *Store) mayFlush() error { return s.fits(2 * s.falling.Load()) }

// fits refuses when what is in memory would not leave so much free.
func (s *Store) fits(spare int64) error {
	need := int64(0)
	for _, f := range s.folders() {
		need += 2 * int64(f.stats().CompressedInmemorySize)
	}
	free, err := freeDisk(s.cfg.Dir)
	if need == 0 || err != nil || free > need+flushSlack+spare {
		return nil // when the disk cannot be asked it is for the library to find out
	}
	return fault.NewRetry("disk_low", fmt.Errorf("%s are free on the disk of %s, too little for what is in memory: free some",
		config.Size(free), s.cfg.Dir))
}

// flushSlack is for the index and the directories of what is written.
const flushSlack = 2 << 20

// room as it was when last looked at.
type roomState struct {
	free  int64
	low   error // nil: there is room
	saved bool  // since it is low, what was in memory has been written
}

// watchRoom notices how fast the disk fills, that it has become low, and that
// there is room again. While it is low it has what is in memory written.
func (s *Store) watchRoom(ctx context.Context, before roomState) roomState {
	now := roomState{low: s.room()}
	now.free, _ = freeDisk(s.cfg.Dir) // what could not be asked is said by room
	s.falling.Store(max(before.free-now.free, 0))
	if now.low == nil {
		if before.low != nil {
			s.scope.Logger().Info("documents are stored again")
			s.report()
		}
		return now
	}
	if now.saved = before.low != nil && before.saved; !now.saved && s.mayFlush() == nil {
		now.saved = s.Flush(ctx) == nil // else at the next look
	}
	if before.low == nil {
		s.scope.Logger().Warn("nothing more is stored, what there is can be searched", "reason", now.low)
		s.report()
	}
	return now
}
