package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// logSection measures the embedded log beside its peers and beside the disk.
func logSection() section {
	return section{
		name:  "log",
		about: "the embedded log beside kfake and Apache Kafka; 1 KB records, acks all, client and broker share the machine",
		run:   runLog,
	}
}

// logSizes is how much the section does.
type logSizes struct {
	produce  int // bytes for throughput
	big      int // bytes of the log whose memory is measured
	duration time.Duration
}

// figures are what was measured of one peer, by what it is; nothing where the
// peer cannot do it.
type figures map[string]float64

func runLog(ctx context.Context, r *report) error {
	sizes := logSizes{produce: 1_000_000_000, big: 5_000_000_000, duration: 10 * time.Second}
	if r.short {
		sizes = logSizes{produce: 300_000_000, big: 600_000_000, duration: 2 * time.Second}
	}
	dir, err := os.MkdirTemp("", "bench-log")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The client's garbage is not what is measured.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	release, err := fillPageCache(dir)
	if err != nil {
		return err
	}
	mbps, syncMs, syncP99, err := disk(dir, sizes.produce, 1_000_000)
	if err := errors.Join(err, release()); err != nil {
		return err
	}
	var ours figures
	var failed error
	for i, p := range logPeers() {
		if i > 0 && !strings.HasPrefix(p.name, r.peers) {
			continue
		}
		got, err := measureLog(ctx, p, sizes)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
		}
		if i == 0 {
			ours = got
			continue
		}
		for _, m := range logMeasures() {
			a, ok := ours[m.name]
			b, peer := got[m.name]
			if !ok || !peer {
				continue
			}
			ratio := a / b
			if m.less {
				ratio = b / a
			}
			r.add(m.name, fmt.Sprintf("%.2f %s", a, m.unit), fmt.Sprintf("%.2f, %s", b, p.name), fmt.Sprintf("%.2f", ratio))
		}
	}
	aim := func(what string, is, limit float64, unit string) {
		r.add(what, fmt.Sprintf("%.2f %s", is, unit), fmt.Sprintf("%.2f, aim", limit), fmt.Sprintf("%.2f", is/limit))
	}
	aim("durable produce, 6 partitions, of a sequential write with fdatasync", ours["produce, 6 partitions"], 0.7*mbps, "MB/s")
	aim("p99 at 5000/s over 120 partitions, of 20 fdatasyncs", ours["p99 at 5000/s, 120 partitions"], 20*syncMs, "ms")
	r.add("one fdatasync of the disk, p50", fmt.Sprintf("%.2f ms", syncMs), fmt.Sprintf("%.2f, p99", syncP99), "")
	aim("memory with a large log", ours["memory, running"], 60, "MiB")
	aim("restart after a kill", ours["restart after a kill"], 1000, "ms")
	return failed
}

// perProcessor says that something is counted for a second of the broker's
// processor: client and broker share the machine, so that what the client
// needs bounds what a second of the clock can show.
const perProcessor = ", a processor second of the broker"

type logMeasure struct {
	name, unit string
	less       bool // less is better
}

func logMeasures() []logMeasure {
	var out []logMeasure
	for _, n := range []int{1, 6, 120} {
		for _, what := range []string{"produce", "catch-up", "catch-up of bytes"} {
			name := fmt.Sprintf("%s, %d partitions", what, n)
			out = append(out, logMeasure{name, "MB/s", false}, logMeasure{name + perProcessor, "MB", false})
		}
	}
	for _, l := range latencies() {
		for _, p := range []string{"p50", "p99"} {
			out = append(out, logMeasure{p + " " + l.name(), "ms", true})
		}
	}
	return append(out,
		logMeasure{"p99 at 1000/s beside a reader that catches up", "ms", true},
		logMeasure{"memory, running", "MiB", true}, logMeasure{"memory, after a kill", "MiB", true},
		logMeasure{"restart after a kill", "ms", true})
}

// load is a rate over so many partitions.
type load struct {
	rate       int
	partitions int
}

func (l load) name() string { return fmt.Sprintf("at %d/s, %d partitions", l.rate, l.partitions) }

func latencies() []load { return []load{{1000, 6}, {10_000, 6}, {50_000, 6}, {5000, 120}} }

func measureLog(ctx context.Context, p logPeer, sizes logSizes) (f figures, err error) {
	f = figures{}
	dir, err := os.MkdirTemp("", "bench-log")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	release, err := fillPageCache(dir)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, release()) }()
	listen, err := freeListen()
	if err != nil {
		return f, err
	}
	data := filepath.Join(dir, "log")
	if err := os.Mkdir(data, 0o700); err != nil {
		return f, err
	}
	s, err := p.start(ctx, data, listen)
	if err != nil {
		return f, err
	}
	defer func() { s.stop() }()
	for _, n := range []int32{1, 6, 120} {
		topic := fmt.Sprintf("throughput-%d", n)
		if err := makeTopic(ctx, s.addr, topic, n); err != nil {
			return f, err
		}
		for _, c := range []struct {
			what string
			do   func(ctx context.Context, addr, topic string, total int) (float64, error)
		}{{"produce", produceMB}, {"catch-up", consumeMB}, {"catch-up of bytes", drainMB}} {
			name := fmt.Sprintf("%s, %d partitions", c.what, n)
			before := processor(s.pid)
			if f[name], err = c.do(ctx, s.addr, topic, sizes.produce); err != nil {
				return f, err
			}
			f[name+perProcessor] = float64(sizes.produce) / 1e6 / (processor(s.pid) - before)
		}
	}
	for _, l := range latencies() {
		topic := fmt.Sprintf("latency-%d-%d", l.rate, l.partitions)
		if err := makeTopic(ctx, s.addr, topic, int32(l.partitions)); err != nil {
			return f, err
		}
		if f["p50 "+l.name()], f["p99 "+l.name()], err = latency(ctx, s.addr, topic, l.rate, sizes.duration); err != nil {
			return f, err
		}
	}
	if err := besideReader(ctx, s.addr, sizes, f); err != nil {
		return f, err
	}
	return f, largeLog(ctx, p, s, data, listen, sizes, f)
}

// besideReader measures latency while a reader, a process of its own, reads
// everything there is again and again.
func besideReader(ctx context.Context, addr string, sizes logSizes, f figures) error {
	reader, err := child(readerKind)(ctx, "", addr)
	if err != nil {
		return err
	}
	_, f["p99 at 1000/s beside a reader that catches up"], err = latency(ctx, addr, "latency-1000-6", 1000, sizes.duration)
	reader.kill()
	return err
}

// largeLog measures memory with a large log, and a restart after a kill; only
// of peers that can be killed and started on the same folder.
func largeLog(ctx context.Context, p logPeer, s *logServer, dir, listen string, sizes logSizes, f figures) error {
	if err := makeTopic(ctx, s.addr, "large", 6); err != nil {
		return err
	}
	if _, err := produceMB(ctx, s.addr, "large", sizes.big); err != nil {
		return err
	}
	f["memory, running"] = resident(s.pid)
	if p.name != "ours" && p.name != "kfake, synced" {
		return nil
	}
	s.kill()
	start := time.Now()
	again, err := p.start(ctx, dir, listen)
	if err != nil {
		return err
	}
	*s = *again
	f["restart after a kill"] = since(start)
	f["memory, after a kill"] = resident(s.pid)
	return nil
}
