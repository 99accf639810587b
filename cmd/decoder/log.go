package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/app"
	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/config"
)

// logCmd looks at the files of the embedded log; it needs no instance, and
// none may run on the folder.
type logCmd struct {
	Verify logVerifyCmd `cmd:"" help:"Read everything the log holds, check it, and say what is wrong."`
	Repair logRepairCmd `cmd:"" help:"Have readers get past what cannot be read; everything else stays as it is."`
	Dump   logDumpCmd   `cmd:"" help:"Print the records of a partition from the files."`
}

// logDir is the folder of an embedded log that no instance works on. Instead
// says what to do when one does.
func logDir(g *globals, instead string) (string, error) {
	if app.Running(g.dir()) {
		return "", fmt.Errorf("an instance runs on %s; %s", g.dir(), instead)
	}
	dir := app.LogDir(g.dir())
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("there is no log in %s: no instance with an embedded log has run on that data folder", g.dir())
	}
	return dir, nil
}

type logVerifyCmd struct {
	JSON bool `help:"The report as one object."`
}

func (c *logVerifyCmd) Run(ctx context.Context, g *globals, io streams) error {
	dir, err := logDir(g, "stop it first: what is being written cannot be verified")
	if err != nil {
		return err
	}
	r, err := broker.Verify(ctx, dir)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(io.out, r); err != nil {
			return err
		}
	} else {
		for _, p := range r.Problems {
			fmt.Fprintf(io.out, "%s at %d: %s\n", p.File, p.Pos, clean(p.What))
		}
		fmt.Fprintf(io.out, "%d topics, %d partitions, %d segments, %d batches, %d records, %s: %d problems\n",
			r.Topics, r.Partitions, r.Segments, r.Batches, r.Records, config.Size(r.Bytes), len(r.Problems))
	}
	if len(r.Problems) > 0 {
		return errNamed
	}
	return nil
}

type logRepairCmd struct {
	JSON bool `help:"What was lost as one array."`
}

func (c *logRepairCmd) Run(ctx context.Context, g *globals, io streams) error {
	dir, err := logDir(g, "stop it first")
	if err != nil {
		return err
	}
	lost, err := broker.Repair(ctx, dir)
	if c.JSON {
		return errors.Join(printJSON(io.out, append([]broker.Lost{}, lost...)), err)
	}
	for _, l := range lost {
		fmt.Fprintf(io.out, "%s/%d: %d records from offset %d on are lost, readers go on at %d; their bytes are kept in %s\n",
			clean(l.Topic), l.Partition, l.To-l.From, l.From, l.To, l.File)
	}
	fmt.Fprintf(io.out, "%d places repaired\n", len(lost))
	return err
}

type logDumpCmd struct {
	Topic     string `arg:"" help:"The topic."`
	Partition int32  `arg:"" optional:"" default:"0" help:"The partition."`
	From      int64  `help:"The first offset." default:"0"`
	Limit     int    `help:"At most so many records, 0 for all." default:"0"`
}

func (c *logDumpCmd) Run(ctx context.Context, g *globals, io streams) error {
	dir, err := logDir(g, "use: decoder tail "+c.Topic)
	if err != nil {
		return err
	}
	n := 0
	var failed error
	err = broker.Dump(ctx, dir, c.Topic, c.Partition, c.From, func(r broker.Record) bool {
		out := api.Record{Topic: c.Topic, Partition: c.Partition, Offset: r.Offset, Time: api.RecordTime(time.UnixMilli(r.Time)), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers() {
			out.Headers = append(out.Headers, api.Header{Key: h.Key, Value: h.Value})
		}
		failed = printJSON(io.out, out)
		n++
		return failed == nil && (c.Limit == 0 || n < c.Limit)
	})
	if err != nil {
		return fmt.Errorf("dumping %s/%d: %w", c.Topic, c.Partition, err)
	}
	return failed
}
