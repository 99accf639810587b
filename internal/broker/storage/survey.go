package storage

import (
	"context"
	"math"
	"os"
)

// hole is a part of a segment's file without a batch, and the offsets that are
// missing there, half-open both.
type hole struct {
	pos, end int64
	from, to int64
}

// survey tells apart what of a segment's file is good and what is not: whole
// batches that match their CRC, unpack, and follow one another. keep is told
// of every good batch, missing of everything between, in order.
func (p *Partition) survey(ctx context.Context, s *segment, keep batchFunc, missing func(hole) error) error {
	f, err := p.store.fs.OpenFile(s.path+logSuffix, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	next := s.base
	bad := hole{pos: -1} // until the next good batch tells how far it goes
	tell := func(to int64) error {
		if bad.pos < 0 {
			return nil
		}
		h := bad
		h.from, h.to = next, to
		bad.pos = -1
		return missing(h)
	}
	err = walk(f, 0, s.size.Load(), func(pos int64, b []byte, h *header) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !p.follows(s, h, next, bad.pos >= 0) {
			return errMisplaced
		}
		if err := eachRecord(b, h, func(*Record) bool { return true }); err != nil {
			return err
		}
		if err := tell(h.base); err != nil {
			return err
		}
		next = h.end()
		return keep(pos, b, h)
	}, func(from, to int64) {
		if bad.pos < 0 {
			bad.pos = from
		}
		bad.end = to
	})
	if err != nil {
		return err
	}
	end := s.end.Load()
	if bad.pos < 0 && next < end && end < math.MaxInt64 && !p.topic.hasGaps() {
		bad = hole{pos: s.size.Load(), end: s.size.Load()} // the file has lost its end
	}
	return tell(end)
}

// eachBatch calls fn for every good batch of a segment. ErrCorrupt, in the
// end, says that there are others, which have been reported.
func (p *Partition) eachBatch(s *segment, fn batchFunc) error {
	var corrupt error
	err := p.survey(context.Background(), s, fn, func(h hole) error {
		p.store.sawCorrupt(p, s, h.pos)
		corrupt = s.corrupt(h.from, h.pos)
		return nil
	})
	if err != nil {
		return err // a disk that fails is not what lies on it
	}
	return corrupt
}
