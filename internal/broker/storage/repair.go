package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Lost is a run of records that cannot be read.
type Lost struct {
	Topic     string
	Partition int32
	From, To  int64  // offsets, half-open; equal when only bytes between batches were bad
	File      string // where the bytes are kept
}

// Repair has readers get past what cannot be read, in a data folder that no
// broker is using: an empty batch takes its offsets, as compaction could have
// left it, and the bytes are kept in a file beside the segment. Everything else
// stays as it is. It recovers the log first, as a start does, and may be
// interrupted at any moment.
func Repair(ctx context.Context, dir string) ([]Lost, error) { return repair(ctx, OS{}, dir) }

func repair(ctx context.Context, fsys FS, dir string) (lost []Lost, err error) {
	s := New(Options{Dir: dir, FS: fsys})
	if err := s.Open(); err != nil {
		return nil, err
	}
	defer func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		err = errors.Join(err, s.Run(over)) // which closes it
	}()
	for _, p := range s.partitions() {
		if lost, err = p.repair(ctx, lost); err != nil {
			return lost, fmt.Errorf("repairing %s: %w", p.dir, err)
		}
	}
	return lost, nil
}

func (p *Partition) repair(ctx context.Context, lost []Lost) ([]Lost, error) {
	for _, s := range *p.segments.Load() {
		damaged := false
		err := p.survey(ctx, s, func(int64, []byte, *header) error { return nil }, func(hole) error { damaged = true; return nil })
		if err != nil {
			return lost, err
		}
		if !damaged {
			continue
		}
		if err := p.sealActive(s); err != nil {
			return lost, err
		}
		err = p.replace([]*segment{s}, func(out *segment) error {
			keep := func(_ int64, b []byte, h *header) error { return out.write(b, h) }
			return p.survey(ctx, s, keep, func(h hole) error {
				file, err := s.keepAside(p.store.fs, h.pos, h.end)
				if err != nil {
					return err
				}
				lost = append(lost, Lost{Topic: p.topic.Name, Partition: p.index, From: h.from, To: h.to, File: file})
				return out.fillHole(h)
			})
		})
		if err != nil {
			return lost, err
		}
	}
	return lost, nil
}

// sealActive has writing go on in another segment, if this one is written: no
// recovery reads it any more.
func (p *Partition) sealActive(s *segment) error {
	p.mu.Lock()
	var err error
	if p.active == s {
		err = p.roll()
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.store.checkpoint()
}

// fillHole writes empty batches over the offsets that are missing.
func (s *segment) fillHole(h hole) error {
	for from := h.from; from < h.to; {
		n := min(h.to-from, math.MaxInt32)
		e := header{base: from, lastDelta: int32(n - 1), baseTime: s.maxTime.Load(), maxTime: s.maxTime.Load(), producerID: -1, epoch: -1, sequence: -1}
		b := newBatch(e)
		sealBatch(b)
		e.size = len(b)
		if err := s.write(b, &e); err != nil {
			return err
		}
		from += n
	}
	return nil
}
