package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
)

func defaults(t testing.TB) *Config {
	t.Helper()
	c, err := ParseConfig(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBatchesAreValidatedOnArrival(t *testing.T) {
	now := time.Now()
	rules := *defaults(t)
	be := binary.BigEndian
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		rules  func(*Config)
		want   error
	}{
		{name: "good"},
		{name: "empty", change: func([]byte) []byte { return nil }, want: ErrInvalidBatch},
		{name: "short", change: func(b []byte) []byte { return b[:60] }, want: ErrInvalidBatch},
		{name: "cut", change: func(b []byte) []byte { return b[:len(b)-1] }, want: ErrInvalidBatch},
		{name: "bytes behind", change: func(b []byte) []byte { return append(b, 0) }, want: ErrInvalidBatch},
		{name: "two batches", change: func(b []byte) []byte { return append(b, b...) }, want: ErrInvalidBatch},
		{name: "CRC", change: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, want: ErrBadCRC},
		{name: "magic 1", change: func(b []byte) []byte { b[offMagic] = 1; return b }, want: ErrOldMagic},
		{name: "magic 3", change: func(b []byte) []byte { b[offMagic] = 3; return b }, want: ErrInvalidBatch},
		{name: "negative length", change: func(b []byte) []byte { be.PutUint32(b[offLength:], 1<<31); return b }, want: ErrInvalidBatch},
		{name: "log append time", change: func(b []byte) []byte { b[offAttributes+1] |= attrLogAppendTime; return reseal(b) }, want: ErrTimestamp},
		{name: "control", change: func(b []byte) []byte { b[offAttributes+1] |= attrControl; return reseal(b) }, want: ErrInvalidBatch},
		{name: "transactional", change: func(b []byte) []byte { b[offAttributes+1] |= attrTransactional; return reseal(b) }, want: ErrInvalidBatch},
		{name: "unknown codec", change: func(b []byte) []byte { b[offAttributes+1] |= 7; return reseal(b) }, want: ErrInvalidBatch},
		{name: "not gzip", change: func(b []byte) []byte { b[offAttributes+1] |= codecGzip; return reseal(b) }, want: ErrInvalidBatch},
		{name: "not snappy", change: func(b []byte) []byte { b[offAttributes+1] |= codecSnappy; return reseal(b) }, want: ErrInvalidBatch},
		{name: "not lz4", change: func(b []byte) []byte { b[offAttributes+1] |= codecLZ4; return reseal(b) }, want: ErrInvalidBatch},
		{name: "not zstd", change: func(b []byte) []byte { b[offAttributes+1] |= codecZstd; return reseal(b) }, want: ErrInvalidBatch},
		{name: "count too large", change: func(b []byte) []byte { be.PutUint32(b[offRecordCount:], 4); return reseal(b) }, want: ErrInvalidBatch},
		{name: "count zero", change: func(b []byte) []byte { be.PutUint32(b[offRecordCount:], 0); return reseal(b) }, want: ErrInvalidBatch},
		{name: "count and delta beyond the records", change: func(b []byte) []byte {
			be.PutUint32(b[offRecordCount:], 9)
			be.PutUint32(b[offLastDelta:], 8)
			return reseal(b)
		}, want: ErrInvalidBatch},
		{name: "fewer than the records", change: func(b []byte) []byte {
			be.PutUint32(b[offRecordCount:], 2)
			be.PutUint32(b[offLastDelta:], 1)
			return reseal(b)
		}, want: ErrInvalidBatch},
		{name: "a gap behind the records", change: func(b []byte) []byte { be.PutUint32(b[offLastDelta:], 5); return reseal(b) }, want: ErrInvalidBatch},
		{name: "record length", change: func(b []byte) []byte { b[headerSize] = 0x7f; return reseal(b) }, want: ErrInvalidBatch},
		{name: "sequence without epoch", change: func(b []byte) []byte { return from(b, 1, -1, 0) }, want: ErrInvalidBatch},
		{name: "epoch without sequence", change: func(b []byte) []byte { return from(b, 1, 0, -1) }, want: ErrInvalidBatch},
		{name: "too large", rules: func(c *Config) { c.MaxMessageBytes = 100 }, want: ErrTooLarge},
		{name: "from the future", change: func(b []byte) []byte {
			be.PutUint64(b[offBaseTime:], uint64(now.Add(2*time.Hour).UnixMilli()))
			return reseal(b)
		}, want: ErrTimestamp},
		{name: "too old", rules: func(c *Config) { c.TimestampBeforeMs = time.Hour.Milliseconds() }, change: func(b []byte) []byte {
			be.PutUint64(b[offBaseTime:], uint64(now.Add(-2*time.Hour).UnixMilli()))
			return reseal(b)
		}, want: ErrTimestamp},
		{name: "one of several too old", rules: func(c *Config) { c.TimestampBeforeMs = time.Hour.Milliseconds() }, change: func([]byte) []byte {
			return timed(now.UnixMilli(), now.Add(-2*time.Hour).UnixMilli())
		}, want: ErrTimestamp},
		{name: "no time is not an old one", rules: func(c *Config) { c.TimestampBeforeMs = time.Hour.Milliseconds() }, change: func([]byte) []byte {
			return timed(-1, now.UnixMilli(), -1)
		}},
		// The Java client takes 5 bytes of a number of 32 bits, and no more.
		{name: "5 bytes of a number", change: func([]byte) []byte { return longNumber(5) }},
		{name: "6 bytes of a number", change: func([]byte) []byte { return longNumber(6) }, want: ErrInvalidBatch},
		// Nor does it read blocks of LZ4 that depend on one another.
		{name: "independent blocks", change: func(b []byte) []byte { return lz4Stored(b, 0x60, 0x40, 0x82) }},
		{name: "dependent blocks", change: func(b []byte) []byte { return lz4Stored(b, 0x40, 0x40, 0xc0) }, want: ErrInvalidBatch},
		{name: "no key", rules: func(c *Config) { c.Compact = true }, change: func([]byte) []byte {
			return encodeBatch([]KeyValue{{Value: []byte("v")}}, now.UnixMilli())
		}, want: ErrNoKey},
	} {
		b, r := batch("a", 3, 50), rules
		if c.change != nil {
			b = c.change(b)
		}
		if c.rules != nil {
			c.rules(&r)
		}
		if _, err := validate(b, &r, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// lz4Stored has a batch's records in an LZ4 frame of that descriptor.
func lz4Stored(b []byte, descriptor ...byte) []byte {
	records := bytes.Clone(b[headerSize:])
	b = append(append(b[:headerSize], lz4Magic...), descriptor...)
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(records))|1<<31), records...)
	b = append(b, 0, 0, 0, 0)
	b[offAttributes+1] |= codecLZ4
	sealBatch(b)
	return b
}

// longNumber is a batch of one record whose key's length has n bytes.
func longNumber(n int) []byte {
	number := []byte{2 | 0x80}
	for range n - 2 {
		number = append(number, 0x80)
	}
	number = append(number, 0)
	b := newBatch(header{producerID: -1, epoch: -1, sequence: -1, count: 1})
	body := append(append([]byte{0, 0, 0}, number...), 'k', 1, 0) // no value, no headers
	b = append(binary.AppendVarint(b, int64(len(body))), body...)
	sealBatch(b)
	return b
}

func TestMaxTimestampIsCorrectedNotBelieved(t *testing.T) {
	b := batch("a", 3, 50)
	binary.BigEndian.PutUint64(b[offMaxTime:], 1)
	h, err := validate(reseal(b), defaults(t), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	again, _ := parseHeader(b)
	if h.maxTime <= 1 || again.maxTime != h.maxTime || !crcOK(b, &again) {
		t.Errorf("largest timestamp %d, in the batch %d", h.maxTime, again.maxTime)
	}
}

// TestBombIsRefused: a batch that unpacks to far more than it is.
func TestBombIsRefused(t *testing.T) {
	b := batch("a", 1, 10)
	bomb := snappy.Encode(nil, make([]byte, maxDecompressed+1))
	b = append(b[:headerSize], bomb...)
	b[offAttributes+1] |= codecSnappy
	sealBatch(b)
	c := defaults(t)
	c.MaxMessageBytes = maxMessage
	if _, err := validate(b, c, time.Now()); !errors.Is(err, ErrInvalidBatch) {
		t.Fatalf("a bomb was let in: %v", err)
	}
}

// A length that is only claimed takes no memory, nor do headers that nobody
// asks for.
func TestClaimedLengthsTakeNoMemory(t *testing.T) {
	for name, take := range map[string]func(){
		"snappy": func() { _, _, _ = decompress(codecSnappy, []byte{0x80, 0x80, 0x80, 0x40, 0, 1}) },
		"zstd":   func() { _, _, _ = decompress(codecZstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0, 'a'}) },
		"header": func() {
			const n = 1 << 20
			body := append(binary.AppendVarint([]byte{0, 0, 0, 1, 1}, n), make([]byte, 2*n)...)
			b := append(binary.AppendVarint(newBatch(header{producerID: -1, count: 1}), int64(len(body))), body...)
			sealBatch(b)
			h, _ := parseHeader(b)
			if err := eachRecord(b, &h, func(*Record) bool { return true }); err != nil {
				t.Error(err)
			}
		},
	} {
		claims := newBatch(header{producerID: -1})
		binary.BigEndian.PutUint32(claims[offLength:], maxMessage)
		if h, ok := parseHeader(claims); ok {
			t.Errorf("a batch of %d bytes is believed", h.size)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		take()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 20<<20 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

func FuzzBatch(f *testing.F) {
	f.Add(batch("a", 3, 50))
	f.Add(from(batch("b", 1, 0), 1, 2, 3))
	compressed := batch("c", 2, 100)
	packed := snappy.Encode(nil, compressed[headerSize:])
	compressed = append(compressed[:headerSize:headerSize], packed...)
	compressed[offAttributes+1] |= codecSnappy
	sealBatch(compressed)
	f.Add(compressed)
	f.Fuzz(func(t *testing.T, b []byte) {
		// A fuzzer does not find CRCs: give it the right one.
		if len(b) >= headerSize {
			reseal(b)
		}
		in := bytes.Clone(b)
		h, err := validate(b, defaults(t), time.Now())
		if err != nil {
			return
		}
		n := int32(0)
		err = eachRecord(b, &h, func(r *Record) bool {
			if r.Offset != int64(n) {
				t.Fatalf("record %d has offset %d", n, r.Offset)
			}
			n++
			return true
		})
		if err != nil || n != h.count || len(b) != len(in) || !crcOK(b, &h) {
			t.Fatalf("an accepted batch: %d of %d records, %v", n, h.count, err)
		}
	})
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte("decoder topic 1 00000000\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d topicDocument
		_ = decodeDocument(b, "topic", &d)
	})
}

func FuzzJournal(f *testing.F) {
	p := &Partition{topic: &Topic{}}
	good := appendJournalEntry(journalHead(3), p, batch("a", 1, 10))
	binary.BigEndian.PutUint32(good[journalHeader+4:], entryCRC(3, good[journalHeader:]))
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		file := &crashFile{fs: newCrashFS(1), inode: &inode{data: b}}
		r, ok := newJournalReader(file)
		if !ok {
			return
		}
		// A fuzzer does not find CRCs: give the first entry the right one.
		if len(b) >= journalHeader+journalEntryHead {
			entry := b[journalHeader:]
			if n := int64(binary.BigEndian.Uint32(entry)); n >= journalEntryHead && n <= int64(len(entry)) {
				binary.BigEndian.PutUint32(entry[4:], entryCRC(r.gen, entry[:n]))
			}
		}
		if err := r.each(1<<20, func(e journaled) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(append(indexHead(0), make([]byte, 64)...), int64(5))
	f.Fuzz(func(t *testing.T, b []byte, at int64) {
		r, err := newIndexReader(&crashFile{fs: newCrashFS(1), inode: &inode{data: b}}, 0)
		if err != nil {
			return
		}
		_, _ = r.entry(r.search(func(e indexEntry) bool { return int64(e.rel) > at }) - 1)
		_, _ = r.entry(r.count - 1)
	})
}

func FuzzSegment(f *testing.F) {
	f.Add(append(batch("a", 1, 10), batch("b", 2, 10)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := &crashFile{fs: newCrashFS(1), inode: &inode{data: b}}
		size := int64(len(b))
		at := int64(0) // all before it was told of
		err := walk(file, 0, size, func(pos int64, _ []byte, h *header) error {
			if pos != at {
				t.Fatalf("a batch at %d, after %d", pos, at)
			}
			at += int64(h.size)
			return nil
		}, func(from, to int64) {
			if from != at || to <= from {
				t.Fatalf("a gap from %d to %d, after %d", from, to, at)
			}
			at = to
		})
		if err != nil || at != size {
			t.Fatalf("stopped at %d of %d: %v", at, size, err)
		}
	})
}

// FuzzFolder opens a partition whose files hold anything, reads it, appends to
// it, verifies it and repairs it.
func FuzzFolder(f *testing.F) {
	log := append(batch("a", 1, 10), batch("b", 2, 10)...)
	f.Add(log, append(indexHead(0), make([]byte, 32)...), []byte(`{"journal":1,"partitions":{"ID":{"0":{"next":3,"segment":0,"pos":150}}}}`), []byte{})
	f.Fuzz(func(t *testing.T, log, index, checkpoint, journal []byte) {
		fsys := newCrashFS(1)
		s := open(t, fsys)
		topic := s.topic("t", 1)
		mustAppend(t, topic.Partition(0), batch("first", 1, 10))
		s.stop()
		put := func(name string, b []byte) {
			fsys.now[testDir+"/"+name] = &inode{data: bytes.Clone(b)}
		}
		put("topics/t/0/00000000000000000000.log", log)
		put("topics/t/0/00000000000000000000.index", index)
		put("journal/0.journal", append(journalHead(9), journal...))
		checkpoint = bytes.ReplaceAll(checkpoint, []byte("ID"), fmt.Appendf(nil, "%x", topic.ID))
		body := append(fmt.Appendf(nil, "decoder checkpoint 1 %08x\n", crc32.Checksum(checkpoint, castagnoli)), checkpoint...)
		put("checkpoint.json", body) // a fuzzer does not find checksums
		s, err := tryOpen(t, fsys)
		if err != nil {
			return
		}
		p := s.Topic("t").Partition(0)
		for n, offset := 0, p.Start(); offset < p.High() && n < 50; n, offset = n+1, offset+1 {
			if _, err := p.Read(nil, offset, 1000, true); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrOffsetOutOfRange) {
				t.Fatal(err)
			}
		}
		if _, _, err := p.OffsetForTime(5); err != nil && !errors.Is(err, ErrInvalidBatch) {
			t.Fatal(err)
		}
		_, c, err := p.Append(batch("on", 1, 1))
		if err == nil {
			err = waitFor(c)
		}
		s.cancel()
		if cerr := <-s.done; err != nil && cerr == nil {
			t.Logf("appending: %v", err)
		}
		if _, err := repair(t.Context(), fsys, testDir); err != nil {
			t.Logf("repairing: %v", err)
		}
	})
}
