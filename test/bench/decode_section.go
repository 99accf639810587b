package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"syscall"
	"time"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/suricata"
)

// decodeSection measures EVE to ECS beside Benthos's Bloblang, both on the
// same lines, as events a second of processor time.
func decodeSection() section {
	return section{"decode", "Suricata's EVE to ECS, and Benthos's Bloblang", benchDecode}
}

// Aims of decoding.
const (
	decodeAim      = 800_000 // events a second of one core
	decodeAimRatio = 20
)

//go:embed decode_events.jsonl
var decodeShapes []byte

//go:embed decode_mapping.blobl
var decodeMapping string

func benchDecode(ctx context.Context, r *report) error {
	ours, peer := 400_000, 8_000
	if r.short {
		ours, peer = 40_000, 2_000
	}
	lines := decodeLines(4096)
	own, err := decodeOurs(lines)
	if err != nil {
		return err
	}
	benthos, err := decodeBenthos(lines)
	if err != nil {
		return err
	}
	// In turns, and the best of each: what else runs on the machine then hits
	// all alike.
	var best [3]float64
	for range 5 {
		for i, c := range []struct {
			n int
			f func(int) error
		}{{ours, own}, {peer, benthos}, {peer, decodePlain(lines)}} {
			rate, err := perCore(ctx, c.n, c.f)
			if err != nil {
				return err
			}
			best[i] = max(best[i], rate)
		}
	}
	what := fmt.Sprintf("events of %d bytes a second of one core", meanLength(lines))
	rate := func(n float64) string { return fmt.Sprintf("%.0f/s", n) }
	r.add(what, rate(best[0]), fmt.Sprintf("aim %d/s", decodeAim), fmt.Sprintf("%.2f", best[0]/decodeAim))
	r.add("the same mapping", rate(best[0]), "Benthos "+rate(best[1]), fmt.Sprintf("%.1f (aim %d)", best[0]/best[1], decodeAimRatio))
	r.add("against reading and writing alone", rate(best[0]), "encoding/json "+rate(best[2]), fmt.Sprintf("%.1f", best[0]/best[2]))
	return nil
}

func decodeOurs(lines [][]byte) (func(int) error, error) {
	d, err := suricata.New(suricata.Options{})
	if err != nil {
		return nil, err
	}
	var buf []byte
	return func(i int) error {
		meta := decode.Meta{Origin: "suricata:eve-bench:0", Topic: "suricata_ingest", Offset: int64(i)}
		ev, err := d.Decode(lines[i%len(lines)], meta, buf[:0])
		buf = ev.Buf
		return err
	}, nil
}

func decodeBenthos(lines [][]byte) (func(int) error, error) {
	mapping, err := bloblang.Parse(decodeMapping)
	if err != nil {
		return nil, fmt.Errorf("parsing the peer's mapping: %w", err)
	}
	return func(i int) error {
		out, err := service.NewMessage(lines[i%len(lines)]).BloblangQuery(mapping)
		if err != nil {
			return fmt.Errorf("running the peer's mapping: %w", err)
		}
		_, err = out.AsBytes()
		return err
	}, nil
}

// decodePlain reads and writes with encoding/json, mapping nothing.
func decodePlain(lines [][]byte) func(int) error {
	return func(i int) error {
		var v map[string]any
		if err := json.Unmarshal(lines[i%len(lines)], &v); err != nil {
			return err
		}
		_, err := json.Marshal(v)
		return err
	}
}

// decodeMix is how many of sixteen events are of each shape, in their order:
// flow, dns, http, tls, fileinfo, netflow, smb, alert. It is about that of an
// office's network; the shapes follow each other in no order.
var decodeMix = [16]int{0, 1, 5, 1, 3, 0, 5, 2, 1, 0, 4, 6, 5, 1, 0, 7}

// decodeLines makes n different lines of the shapes: other addresses, ports,
// flows and times.
func decodeLines(n int) [][]byte {
	shapes := bytes.Split(bytes.TrimSpace(decodeShapes), []byte("\n"))
	lines := make([][]byte, n)
	order := rand.New(rand.NewPCG(1, 2))
	for i := range lines {
		l := shapes[decodeMix[order.IntN(len(decodeMix))]]
		l = bytes.ReplaceAll(l, []byte("192.168.10."), []byte("192.168."+strconv.Itoa(i%200)+"."))
		l = bytes.ReplaceAll(l, []byte("T08:15:"), fmt.Appendf(nil, "T08:%02d:", i%60))
		l = bytes.Replace(l, []byte(`"flow_id":`), fmt.Appendf(nil, `"flow_id":%d`, 1+i), 1)
		l = bytes.ReplaceAll(l, []byte(`"src_port":4`), fmt.Appendf(nil, `"src_port":%d`, 1+i%5))
		lines[i] = l
	}
	return lines
}

func meanLength(lines [][]byte) int {
	sum := 0
	for _, l := range lines {
		sum += len(l)
	}
	return sum / len(lines)
}

// perCore calls f for 0 to n-1 and returns the calls a second of processor
// time, the collector's included.
func perCore(ctx context.Context, n int, f func(int) error) (float64, error) {
	for i := range min(n, 1000) { // warm
		if err := f(i); err != nil {
			return 0, err
		}
	}
	before, err := processorTime()
	if err != nil {
		return 0, err
	}
	for i := range n {
		if i%1000 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := f(i); err != nil {
			return 0, err
		}
	}
	after, err := processorTime()
	return float64(n) / (after - before).Seconds(), err
}

func processorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
