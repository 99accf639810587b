package storage

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// model is what must hold of a store, whatever fails and however it ends: each
// batch that was acknowledged is there, once, at its offset, until it is
// deleted or a later one of its key has replaced it, and no partition stays
// offline on a disk that works.
type model struct {
	t     *testing.T
	rnd   *rand.Rand
	fsys  *crashFS
	s     *opened
	parts []*modelPartition
	trace []string // of one goroutine; the store's own tell nothing
}

type modelPartition struct {
	topic    string
	compact  bool
	acked    map[int64]string // name by offset
	deleted  int64            // before which offset
	sent     int
	waiting  string // was not acknowledged, and is sent again
	producer int64
}

// TestModel mixes what the tests of single faults do not: failing operations of
// every kind, retries, deletions, compaction, kills, power failures, and starts
// that fail in turn.
func TestModel(t *testing.T) {
	for seed := range long(100) {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			m := &model{t: t, rnd: rand.New(rand.NewPCG(uint64(seed), 7)), fsys: newCrashFS(uint64(seed))}
			m.run()
		})
	}
}

func (m *model) run() {
	m.open()
	for i, policy := range []string{"delete", "compact", "delete"} {
		p := &modelPartition{topic: fmt.Sprint("t", i), compact: policy == "compact", acked: map[int64]string{}, producer: int64(i)}
		m.s.topic(p.topic, 1, ConfigSegmentBytes, "16384", ConfigCleanupPolicy, policy)
		m.parts = append(m.parts, p)
	}
	for range 12 {
		if m.rnd.IntN(3) > 0 {
			m.fail()
		}
		for range 10 + m.rnd.IntN(40) {
			m.step(m.parts[m.rnd.IntN(len(m.parts))])
		}
		if m.rnd.IntN(3) > 0 {
			m.check()
		}
		if m.rnd.IntN(3) > 0 {
			m.down()
		}
	}
	m.check()
	m.s.abandon()
}

func (m *model) open() {
	s, err := tryOpen(m.t, m.fsys, func(o *Options) { o.JournalBytes = 16 << 10 })
	if err != nil {
		m.fatal("opening: %v", err)
	}
	m.s = s
}

func (m *model) log(format string, a ...any) { m.trace = append(m.trace, fmt.Sprintf(format, a...)) }

func (m *model) fatal(format string, a ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\n%s", strings.Join(m.trace, "\n"), fmt.Sprintf(format, a...))
}

// fail has operations of one kind, or of every kind, fail now and then.
func (m *model) fail() {
	op := []string{"sync", "write", "syncdir", "rename", "create", "truncate", "remove", ""}[m.rnd.IntN(8)]
	part := []string{"", "", journalSuffix, logSuffix, indexSuffix, "checkpoint"}[m.rnd.IntN(6)]
	rate := []int{2, 10, 60}[m.rnd.IntN(3)]
	rnd := rand.New(rand.NewPCG(m.rnd.Uint64(), 4)) // used under the file system's lock
	m.log("one of %d %q of %q fails", rate, op, part)
	m.fsys.failing(func(o, name string) error {
		if (op == "" || o == op) && strings.Contains(name, part) && rnd.IntN(rate) == 0 {
			return syscall.EIO
		}
		return nil
	})
}

func (m *model) step(mp *modelPartition) {
	p := m.s.Topic(mp.topic).Partition(0)
	switch m.rnd.IntN(16) {
	case 0:
		at := m.rnd.Int64N(p.High() + 1)
		low, err := p.DeleteBefore(at)
		m.log("%s: deleted before %d: %d, %v", mp.topic, at, low, err)
		if err == nil {
			mp.deleted = max(mp.deleted, low)
		}
		for o := range mp.acked { // with an error it may be so all the same
			if o < at {
				delete(mp.acked, o)
			}
		}
	case 1:
		m.log("checkpoint: %v", m.s.checkpoint())
	case 2, 3:
		m.log("retention")
		m.s.enforceRetention()
	case 4, 5:
		m.log("reopen")
		m.s.reopenOffline()
		m.s.journal.retry()
	default:
		m.append(p, mp)
	}
}

// append sends a batch, the last one again if that was not acknowledged.
func (m *model) append(p *Partition, mp *modelPartition) {
	if mp.waiting == "" {
		mp.waiting = fmt.Sprintf("k%d-%d", m.rnd.IntN(10), mp.sent)
		mp.sent++
	}
	key, _, _ := strings.Cut(mp.waiting, "-")
	size := 10 + m.rnd.IntN(1500)
	if m.rnd.IntN(4) == 0 {
		size += 3000 // past the journal
	}
	value := fmt.Appendf(nil, "%s %*d", mp.waiting, size, 0)
	b := encodeBatch([]KeyValue{{Key: []byte(key), Value: value}}, time.Now().UnixMilli())
	base, c, err := p.Append(from(b, mp.producer, 0, int32(mp.sent-1)))
	if err == nil {
		err = waitFor(c)
	}
	m.log("%s: %s at %d: %v", mp.topic, mp.waiting, base, err)
	if err != nil {
		return
	}
	if is, known := mp.acked[base]; known {
		m.fatal("%s and %s are acknowledged at %d", is, mp.waiting, base)
	}
	mp.acked[base], mp.waiting = mp.waiting, ""
}

// check mends the disk and wants everything to be there.
func (m *model) check() {
	m.fsys.failing(nil)
	_ = m.s.checkpoint() // so that no sync is under way that has failed
	for range 2 {
		m.s.reopenOffline()
	}
	for _, mp := range m.parts {
		p := m.s.Topic(mp.topic).Partition(0)
		if err := p.Offline(); err != nil {
			m.fatal("%s stays offline: %v", mp.topic, err)
		}
		for o := p.Start(); o < p.High(); o++ {
			if _, err := p.Read(nil, o, 100, true); err != nil {
				m.fatal("%s: reading at %d: %v", mp.topic, o, err)
			}
		}
		m.compare(p, mp)
	}
}

func (m *model) compare(p *Partition, mp *modelPartition) {
	there, latest, seen := map[int64]string{}, map[string]int64{}, map[string]bool{}
	err := p.Each(func(r *Record) {
		name, _, _ := strings.Cut(string(r.Value), " ")
		if seen[name] {
			m.fatal("%s: %s is there twice", mp.topic, name)
		}
		there[r.Offset], latest[string(r.Key)], seen[name] = name, r.Offset, true
	})
	if err != nil || p.Start() < mp.deleted {
		m.fatal("%s: from %d, deleted before %d, %v", mp.topic, p.Start(), mp.deleted, err)
	}
	for o, name := range mp.acked {
		key, _, _ := strings.Cut(name, "-")
		if replaced := mp.compact && latest[key] > o; !replaced && (there[o] != name || o < p.Start()) {
			m.fatal("%s: %s was at %d, %q is, of %d to %d", mp.topic, name, o, there[o], p.Start(), p.High())
		}
	}
}

// down ends the store: in order, by a kill, or with the power. Starts may fail,
// or end in the same ways.
func (m *model) down() {
	power := m.rnd.IntN(2) == 0
	m.fsys.failing(nil)
	if !power { // what has failed is remembered when the disk took that
		_ = m.s.writeCheckpoint()
	}
	m.end(power, m.s)
	for range m.rnd.IntN(3) {
		if m.rnd.IntN(2) == 0 {
			m.fsys.failAt = m.fsys.ops + 1 + m.rnd.IntN(60)
		} else {
			m.fail()
		}
		s, err := tryOpen(m.t, m.fsys, func(o *Options) { o.JournalBytes = 16 << 10 })
		m.log("start: %v", err)
		m.fsys.failing(nil)
		m.end(m.rnd.IntN(2) == 0, s)
	}
	m.open()
}

func (m *model) end(power bool, s *opened) {
	m.log("down, power lost: %t", power)
	next := m.fsys.kill
	if power {
		next = m.fsys.crash
	} else if s != nil && m.rnd.IntN(2) == 0 {
		s.abandon() // in order
		s = nil
	}
	disk := next()
	if s != nil {
		s.abandon()
	}
	m.fsys = disk
}
