package maildir

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/source/message"
)

// Progress says how far an import is.
type Progress struct {
	Files    int   // read
	Messages int   // acknowledged by the log
	Bytes    int64 // of these messages
	Skipped  int   // too large, empty, or not a message
	Path     string
}

// batchMessages and batchBytes bound what waits for one acknowledgement.
const (
	batchMessages = 200
	batchBytes    = 8 << 20
)

// Import appends every message below the paths: files of one message, mbox
// files, Maildirs, and folders of any of these. Doing it twice adds nothing
// to what is known, since a message is known by its content. It stops at the
// first error of the log. progress, if given, is called after every batch.
func Import(ctx context.Context, log bus.Appender, paths []string, progress func(Progress)) (Progress, error) {
	i := importer{batch: batch{ctx: ctx, log: log}, progress: progress}
	i.batch.done = func(n int, bytes int64) {
		i.state.Messages += n
		i.state.Bytes += bytes
		i.report()
	}
	for _, p := range paths {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "tmp" && path != p {
				return fs.SkipDir // of a Maildir: not yet delivered
			}
			if !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") {
				return ctx.Err()
			}
			return i.file(path)
		})
		if err != nil {
			return i.state, fmt.Errorf("importing %s: %w", p, err)
		}
	}
	if err := i.batch.flush(); err != nil {
		return i.state, err
	}
	i.report()
	return i.state, nil
}

type importer struct {
	batch    batch
	state    Progress
	progress func(Progress)
}

func (i *importer) report() {
	if i.progress != nil {
		i.progress(i.state)
	}
}

func (i *importer) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	i.state.Files++
	i.state.Path = path
	head := make([]byte, 5)
	n, _ := f.ReadAt(head, 0)
	if string(head[:n]) == "From " {
		return ReadMbox(f, message.MaxSize, func(raw []byte, _ int64) error {
			return i.message(raw, time.Time{})
		})
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() > message.MaxSize {
		i.state.Skipped++
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !mail.IsMessage(raw) {
		raw = nil
	}
	return i.message(raw, time.Time{})
}

func (i *importer) message(raw []byte, at time.Time) error {
	if len(raw) == 0 {
		i.state.Skipped++
		return i.batch.ctx.Err()
	}
	return i.batch.add(raw, at)
}

// batch collects records and appends them together.
type batch struct {
	ctx     context.Context
	log     bus.Appender
	records []*bus.Record
	bytes   int64
	done    func(n int, bytes int64)
}

func (b *batch) add(raw []byte, at time.Time) error {
	r, err := message.Record(raw, mail.Delivery{Time: at})
	if err != nil {
		return nil // an empty message
	}
	b.records = append(b.records, r)
	b.bytes += int64(len(raw))
	if len(b.records) >= batchMessages || b.bytes >= batchBytes {
		return b.flush()
	}
	return nil
}

// flush returns when the log has acknowledged. A record that the log will
// never take is left out, the others are appended.
func (b *batch) flush() error {
	if len(b.records) == 0 {
		return nil
	}
	n, bytes := len(b.records), b.bytes
	if err := b.log.Append(b.ctx, b.records...); err != nil {
		if fault.Of(err).Class != fault.Permanent {
			return fmt.Errorf("appending mail: %w", err)
		}
		for _, r := range b.records {
			if err := b.log.Append(b.ctx, r); err != nil {
				if fault.Of(err).Class != fault.Permanent {
					return fmt.Errorf("appending mail: %w", err)
				}
				n--
				bytes -= int64(len(r.Value))
			}
		}
	}
	b.records, b.bytes = b.records[:0], 0
	if b.done != nil {
		b.done(n, bytes)
	}
	return nil
}
