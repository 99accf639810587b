package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
)

// Report is what [Verify] found.
type Report struct {
	Topics, Partitions, Segments int
	Batches, Records, Bytes      int64
	Problems                     []Problem
}

// Problem is one thing that is wrong, and where.
type Problem struct {
	File string
	Pos  int64
	What string
}

// Verify reads everything in a data folder that no broker is using, checks
// every batch and every index entry, and changes nothing. An error means that
// it could not look; what is wrong is in the report.
func Verify(ctx context.Context, dir string) (Report, error) {
	return verify(ctx, OS{}, dir)
}

func verify(ctx context.Context, fsys FS, dir string) (Report, error) {
	v := verifier{ctx: ctx, fs: fsys}
	err := inspect(v.fs, dir, func(s *Store) error {
		if err := v.documents(s); err != nil {
			return err
		}
		points, err := s.readCheckpoint()
		if err != nil {
			return err
		}
		if s.scanAll {
			v.problem(s.checkpointPath(), 0, "there is no checkpoint that can be read: the next start reads everything")
		}
		for _, p := range s.partitions() {
			if err := v.partition(p, points.point(p)); err != nil {
				return err
			}
		}
		return nil
	})
	return v.Report, err
}

// documents looks for what keeps the log, or a topic, from being served.
func (v *verifier) documents(s *Store) error {
	v.Topics = len(s.Topics())
	if err := readDocument(v.fs, s.metaPath(), &s.meta); err != nil && !notExist(err) {
		v.problem(s.metaPath(), 0, "%v: the log does not start", err)
	}
	topics, err := v.fs.ReadDir(s.topicsDir())
	if err != nil {
		return err
	}
	for _, e := range topics {
		if s.Topic(e.Name()) == nil {
			v.problem(filepath.Join(s.topicsDir(), e.Name(), topicFile), 0, "cannot be read: the topic is left out")
		}
	}
	return nil
}

// inspect opens a folder to look at, without recovery.
func inspect(fsys FS, dir string, look func(*Store) error) (err error) {
	if _, err := fsys.ReadDir(filepath.Join(dir, "topics")); err != nil {
		return fmt.Errorf("reading data folder: %w", err)
	}
	unlock, err := fsys.Lock(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	s := New(Options{Dir: dir, FS: fsys})
	if err := s.readTopics(); err != nil {
		return err
	}
	return look(s)
}

type verifier struct {
	Report
	ctx context.Context
	fs  FS
}

func (v *verifier) problem(file string, pos int64, format string, a ...any) {
	const most = 10_000
	if len(v.Problems) < most {
		v.Problems = append(v.Problems, Problem{File: file, Pos: pos, What: fmt.Sprintf(format, a...)})
	}
}

func (v *verifier) partition(p *Partition, pt point) error {
	v.Partitions++
	segs, err := listSegments(v.fs, p.dir)
	if err != nil {
		return err
	}
	next := int64(-1)
	for i, s := range segs {
		if next >= 0 && s.base != next && !p.topic.hasGaps() {
			v.problem(s.path+logSuffix, 0, "begins at offset %d, the one before ends at %d", s.base, next)
		}
		if next, err = v.segment(p, s, pt, i == len(segs)-1); err != nil {
			return err
		}
	}
	if next = max(next, 0); next < pt.Next {
		v.problem(p.dir, 0, "ends at offset %d, %d was durable", next, pt.Next)
	}
	return nil
}

// segment checks one segment and returns the offset behind it. A torn end
// behind the recovery point is what a crash leaves.
func (v *verifier) segment(p *Partition, s *segment, pt point, last bool) (next int64, err error) {
	v.Segments++
	v.Bytes += s.size.Load()
	places := map[int64]verifiedBatch{}
	next = s.base
	sofar := verifiedBatch{newest: -1, exact: true}
	var tail *hole // without a good batch behind it: its end is in the index
	err = p.survey(v.ctx, s, func(pos int64, _ []byte, h *header) error {
		sofar.base = h.base
		places[pos] = sofar
		sofar.newest, sofar.exact = max(sofar.newest, h.maxTime), sofar.exact && h.maxTime >= 0
		next = h.end()
		v.Batches++
		v.Records += int64(h.count)
		return nil
	}, func(h hole) error {
		sofar.exact = false
		if h.to == math.MaxInt64 {
			tail = &h
			return nil
		}
		v.problem(s.path+logSuffix, h.pos, "%s, up to byte %d", unreadableOffsets(h.from, h.to), h.end)
		return nil
	})
	if err != nil {
		return 0, err
	}
	sofar.base = -1
	places[s.size.Load()] = sofar
	end := max(next, v.index(s, places, last))
	if !last && tail == nil && end > next && !p.topic.hasGaps() {
		tail = &hole{pos: s.size.Load(), from: next}
	}
	if tail != nil {
		if last {
			end = max(end, pt.Next)
		}
		torn := last && (s.base > pt.Segment || s.base == pt.Segment && tail.pos >= pt.Pos)
		v.problem(s.path+logSuffix, tail.pos, "%s, up to the end%s", unreadableOffsets(tail.from, end),
			map[bool]string{true: " (the next start cuts a torn end)"}[torn])
	}
	return end, v.ctx.Err()
}

// verifiedBatch is a batch, by where it starts.
type verifiedBatch struct {
	base   int64 // -1: the segment's end
	newest int64 // largest timestamp before it
	exact  bool  // no batch before it is bad, or has no time
}

// unreadableOffsets names a half-open run of offsets.
func unreadableOffsets(from, to int64) string {
	switch to - from {
	case 0:
		return "no offset is missing"
	case 1:
		return fmt.Sprintf("offset %d cannot be read", from)
	default:
		return fmt.Sprintf("offsets %d to %d cannot be read", from, to-1)
	}
}

// index checks a segment's index and returns the offset it ends with.
func (v *verifier) index(s *segment, places map[int64]verifiedBatch, last bool) (end int64) {
	path := s.path + indexSuffix
	x, err := s.openIndex(v.fs)
	if err != nil {
		v.problem(path, 0, "%v: the next start makes it again", err)
		return s.base
	}
	defer x.close() //nolint:errcheck // it was read, not written
	end = s.base
	for i := range x.count {
		e, err := x.entry(i)
		at := indexHeader + i*indexEntrySize
		if err != nil {
			v.problem(path, at, "%v", err)
			break
		}
		end = s.base + int64(e.rel)
		b, ok := places[int64(e.pos)]
		if !ok || b.base >= 0 && b.base != end {
			v.problem(path, at, "entry says offset %d is at %d: remove the file, the next start makes it again", end, e.pos)
		} else if e.maxTime < b.newest || e.maxTime > b.newest && b.exact {
			v.problem(path, at, "entry says the largest timestamp before is %d, it is %d: remove the file, the next start makes it again", e.maxTime, b.newest)
		}
		if i == x.count-1 && !last && int64(e.pos) != s.size.Load() {
			v.problem(path, at, "has no closing entry: the next start makes it again")
		}
	}
	return end
}

// Dumped is a record as [Dump] shows it.
type Dumped struct {
	Record
	File string
	Pos  int64 // of its batch
}

// Dump calls fn for every record of a partition from an offset on, until fn
// returns false, in a data folder that no broker is using. Batches that cannot
// be read are passed over: Verify lists them. The record's bytes are valid
// during the call.
func Dump(ctx context.Context, dir, topic string, partition int32, offset int64, fn func(Dumped) bool) error {
	return inspect(OS{}, dir, func(s *Store) error {
		t := s.Topic(topic)
		if t == nil || t.Partition(partition) == nil {
			return ErrUnknownTopic
		}
		p := t.Partition(partition)
		segs, err := listSegments(s.fs, p.dir)
		if err != nil {
			return err
		}
		enough := false
		for i, sg := range segs {
			if enough || i+1 < len(segs) && segs[i+1].base <= offset {
				continue
			}
			err := p.eachBatch(sg, func(pos int64, b []byte, h *header) error {
				if err := ctx.Err(); err != nil || h.end() <= offset {
					return err
				}
				err := eachRecord(b, h, func(r *Record) bool {
					enough = r.Offset >= offset && !fn(Dumped{Record: *r, File: sg.path + logSuffix, Pos: pos})
					return !enough
				})
				if enough {
					return errEnough
				}
				return err
			})
			if err != nil && !errors.Is(err, ErrCorrupt) {
				return err
			}
		}
		return nil
	})
}
