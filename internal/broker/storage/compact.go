package storage

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"
)

// compactKeys bounds the bytes of keys one round of compaction remembers; what
// does not fit waits for the next round.
const compactKeys = 16 << 20

// century is in milliseconds.
const century = 100 * 365 * 24 * 60 * 60 * 1000

// compact rewrites the sealed segments without the records that a later one
// of the same key replaces. New files are written aside, synced, and take the
// old ones' place by a rename, so that a crash leaves the old or the new.
func (p *Partition) compact(cfg *Config, now time.Time) {
	p.mu.Lock()
	segs := p.whole()
	p.mu.Unlock()
	if len(segs) == 0 || segs[len(segs)-1].end.Load() <= max(p.cleaned, p.stuck) {
		return
	}
	k := keeper{end: segs[len(segs)-1].end.Load(), now: now.UnixMilli(), tombstones: cfg.DeleteRetentionMs}
	err := p.findLatest(segs, &k)
	for rest := segs; err == nil && len(rest) > 0 && rest[0].base < k.known; {
		n := together(rest, cfg.SegmentBytes)
		err = p.rewrite(rest[:n], &k)
		rest = rest[n:]
	}
	if errors.Is(err, ErrCorrupt) {
		p.stuck = k.end // until it is repaired
	}
	if err != nil {
		p.store.log.Warn("compaction failed, the old segments stay", "dir", p.dir, "error", err)
		return
	}
	p.cleaned = k.known
}

// whole returns the first segments, which nobody writes and recovery takes as
// they are, after a crash now. The caller holds p.mu.
func (p *Partition) whole() []*segment {
	segs := *p.segments.Load()
	n := 0
	for n < len(segs) && segs[n].base < p.passed {
		n++
	}
	return segs[:n:n]
}

// keeper decides which records stay.
type keeper struct {
	latest     map[string]int64 // where each key was last written
	known      int64            // before this offset; all behind it stays
	end        int64            // of all that is compacted
	now        int64
	tombstones int64 // how long they stay, from the first round that sees them
}

// findLatest reads what has not been compacted yet, as far as there is room for
// its keys.
func (p *Partition) findLatest(segs []*segment, k *keeper) error {
	k.latest, k.known = map[string]int64{}, p.cleaned
	room := compactKeys
	for _, s := range segs {
		if s.end.Load() <= k.known {
			continue
		}
		err := p.eachBatch(s, func(_ int64, b []byte, h *header) error {
			err := eachRecord(b, h, func(r *Record) bool {
				if r.Offset < k.known || r.Key == nil {
					return true
				}
				if _, seen := k.latest[string(r.Key)]; !seen {
					room -= len(r.Key) + 64
				}
				k.latest[string(r.Key)] = r.Offset
				k.known = r.Offset + 1
				return room > 0
			})
			if err == nil && room <= 0 {
				return errEnough
			}
			return err
		})
		if err != nil || room <= 0 {
			return err
		}
		k.known = s.end.Load()
	}
	return nil
}

// keeps says whether a record of a batch stays. One without a key, of a time
// when the topic was not compacted, has no latest and goes, as with Kafka.
func (k *keeper) keeps(r *Record, h *header) bool {
	if r.Offset >= k.known {
		return true
	}
	last, seen := k.latest[string(r.Key)]
	return r.Key != nil && (!seen || r.Offset >= last) && (r.Value != nil || !h.hasHorizon() || h.baseTime > k.now)
}

// together says how many of the segments, the first at least, fit into one.
func together(segs []*segment, limit int64) int {
	n, size := 1, segs[0].size.Load()
	for _, s := range segs[1:] {
		if size += s.size.Load(); size > limit || s.end.Load()-segs[0].base >= math.MaxUint32 {
			break
		}
		n++
	}
	return n
}

// rewrite writes what is kept of a group of segments into one.
func (p *Partition) rewrite(group []*segment, k *keeper) error {
	return p.replace(group, func(s *segment) error {
		for _, old := range group {
			if err := p.eachBatch(old, func(_ int64, b []byte, h *header) error { return s.writeKept(b, h, k) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// replace puts one segment, written by fill, in the place of sealed ones.
func (p *Partition) replace(group []*segment, fill func(*segment) error) error {
	s, err := createSegment(p.store.fs, filepath.Join(p.dir, "compaction"), group[0].base)
	if err != nil {
		return err
	}
	if err := fill(s); err != nil {
		return errors.Join(err, s.close())
	}
	s.end.Store(group[len(group)-1].end.Load())
	if err := s.finish(); err != nil {
		return err
	}
	return p.swap(group, s)
}

// writeKept writes what is kept of a batch. Offsets and times stay what they
// were. A batch that keeps tombstones is told until when: its base timestamp is
// that horizon, as with Kafka (KIP-534). The last batch of all stays, if empty,
// for readers to get to the end.
func (s *segment) writeKept(b []byte, h *header, k *keeper) error {
	n := *h
	n.count = 0
	newest, tombstones := int64(-1), false
	err := eachRecord(b, h, func(r *Record) bool {
		if k.keeps(r, h) {
			n.count++
			newest = max(newest, r.Time)
			tombstones = tombstones || r.Value == nil
		}
		return true
	})
	tombstones = tombstones && !h.hasHorizon()
	switch {
	case err != nil || n.count == 0 && h.end() != k.end:
		return err
	case n.count == h.count && !tombstones:
		return s.write(b, h)
	case n.count == 0:
		n.attributes &^= attrCodec
	default:
		n.maxTime = newest
	}
	if tombstones {
		n.attributes |= attrDeleteHorizon
		n.baseTime = k.now + min(k.tombstones, century) // some clients count a record's distance in nanoseconds
	}
	var kept []byte
	if n.count > 0 {
		if err := eachRecord(b, h, func(r *Record) bool {
			if k.keeps(r, h) {
				kept = r.appendTo(kept, n.baseTime)
			}
			return true
		}); err != nil {
			return err
		}
		if kept, err = compress(n.codec(), kept); err != nil {
			return err
		}
	}
	out := append(newBatch(n), kept...)
	sealBatch(out)
	n.size = len(out)
	return s.write(out, &n)
}

// swap puts the new segment in the place of the group. The rename to a .swap
// name is the moment the new one counts; finishSwaps does the rest, now or
// after a crash.
func (p *Partition) swap(group []*segment, s *segment) error {
	fsys := p.store.fs
	name := fmt.Sprintf(swapName, s.base, group[len(group)-1].base)
	p.filesMu.Lock()
	defer p.filesMu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.offline != nil {
		return ErrClosed
	}
	now := *p.segments.Load()
	at := slices.Index(now, group[0])
	if at < 0 || at+len(group) > len(now) {
		return nil // retention took them meanwhile
	}
	if err := renameDurably(fsys, s.path+logSuffix, filepath.Join(p.dir, name)); err != nil {
		return err
	}
	if err := finishSwaps(fsys, p.dir); err != nil {
		// Neither old nor new is sure to be there: loading finds out.
		p.fail(err)
		return err
	}
	aside := s.path
	s.path = segmentPath(p.dir, s.base)
	if err := fsys.Rename(aside+indexSuffix, s.path+indexSuffix); err != nil {
		p.store.log.Warn("index of a compacted segment", "segment", s.path, "error", err)
	}
	segs := slices.Concat(now[:at], []*segment{s}, now[at+len(group):])
	p.segments.Store(&segs)
	p.cursors.clear()
	return nil
}

// swapName has the base offsets of the first and the last segment that the
// file replaces.
const swapName = "%020d-%020d.swap"

// finishSwaps completes compactions that have reached their .swap name: the
// segments it replaces go, then it takes the first one's name. An index that
// is missing afterwards is made again.
func finishSwaps(fsys FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if notExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		var first, last int64
		if _, err := fmt.Sscanf(e.Name(), swapName, &first, &last); err != nil {
			continue // another file
		}
		segs, err := listSegments(fsys, dir)
		if err != nil {
			return err
		}
		for _, s := range segs {
			if first <= s.base && s.base <= last {
				if err := s.remove(fsys); err != nil {
					return err
				}
			}
		}
		if err := renameDurably(fsys, filepath.Join(dir, e.Name()), segmentPath(dir, first)+logSuffix); err != nil {
			return err
		}
	}
	return nil
}
