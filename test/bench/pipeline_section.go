package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
)

// pipelineSection measures the real program over the whole way: lines of an
// EVE file, the log, events, searchable documents.
func pipelineSection() section {
	return section{"pipeline", "EVE file → log → events → searchable, the whole program", benchPipeline}
}

// Aims of the whole program on two cores, without Suricata.
const (
	aimRate     = 50_000 // events a second
	aimIdle     = 150 << 20
	aimBusy     = 300 << 20
	aimLatency  = 250 * time.Millisecond
	latencyRuns = 50
)

func benchPipeline(ctx context.Context, r *report) error {
	n := 1_000_000
	if r.short {
		n = 100_000
	}
	dir, err := os.MkdirTemp("", "decoder-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	eve := filepath.Join(dir, "eve.json")
	conf := filepath.Join(dir, "decoder.yml")
	if err := os.WriteFile(conf, []byte("sensor: {capture: false, eve: ["+eve+"]}\nrules: {sources: []}\n"), 0o600); err != nil {
		return err
	}
	p, err := startProgram(ctx, filepath.Join(dir, "data"), "--config", conf)
	if err != nil {
		return err
	}
	defer p.stop()
	idle, err := p.memory("VmRSS")
	if err != nil {
		return err
	}
	aside := filepath.Join(dir, "eve.aside")
	size, err := writeEVE(aside, n)
	if err != nil {
		return err
	}
	if err := os.Rename(aside, eve); err != nil {
		return err
	}
	began, used := time.Now(), p.cpu()
	if err := p.awaitCount(ctx, "event.module:suricata", uint64(n)); err != nil {
		return err
	}
	took, cpu := time.Since(began), p.cpu()-used
	busy, err := p.memory("VmHWM")
	if err != nil {
		return err
	}
	rate := float64(n) / took.Seconds()
	r.add(fmt.Sprintf("%d lines of %d bytes, until the last is searchable", n, size/int64(n)), fmt.Sprintf("%.0f events/s", rate), fmt.Sprintf("%d events/s", aimRate), fmt.Sprintf("%.2f", rate/aimRate))
	r.add("processor time an event", (cpu / time.Duration(n)).String(), "", "")
	r.add("resident memory, idle", mebibytes(idle), mebibytes(aimIdle), fmt.Sprintf("%.2f", float64(aimIdle)/float64(idle)))
	r.add("resident memory, most", mebibytes(busy), mebibytes(aimBusy), fmt.Sprintf("%.2f", float64(aimBusy)/float64(busy)))
	return nil
}

func mebibytes(n int64) string { return strconv.FormatInt(n>>20, 10) + " MiB" }

// alertEvery is how many lines come to one alert.
const alertEvery = 50

// writeEVE writes n lines in the shapes of decode_events.jsonl, a millisecond
// apart up to now, with hosts and flows that vary.
func writeEVE(path string, n int) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	var lines, alerts [][]byte
	for line := range bytes.SplitSeq(bytes.TrimSpace(decodeShapes), []byte("\n")) {
		if bytes.Contains(line, []byte(`"event_type":"alert"`)) {
			alerts = append(alerts, line)
		} else {
			lines = append(lines, line)
		}
	}
	at := time.Now().UTC().Add(-time.Duration(n) * time.Millisecond)
	for i := range n {
		line := lines[i%len(lines)]
		if i%alertEvery == 0 {
			line = alerts[i/alertEvery%len(alerts)]
		}
		line = replaceValue(line, `"timestamp":"`, '"', at.Add(time.Duration(i)*time.Millisecond).Format("2006-01-02T15:04:05.000000+0000"))
		line = replaceValue(line, `"flow_id":`, ',', strconv.Itoa(1_000_000+i/3))
		line = replaceValue(line, `"src_ip":"`, '"', fmt.Sprintf("192.168.%d.%d", i/7%16, 1+i%250))
		if _, err := w.Write(append(line, '\n')); err != nil {
			return 0, err
		}
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// replaceValue replaces what stands between the first name and the next end.
func replaceValue(line []byte, name string, end byte, value string) []byte {
	at := bytes.Index(line, []byte(name))
	if at < 0 {
		return bytes.Clone(line)
	}
	from := at + len(name)
	to := from + bytes.IndexByte(line[from:], end)
	out := make([]byte, 0, len(line)+len(value))
	return append(append(append(out, line[:from]...), value...), line[to:]...)
}

// running is the program at work.
type running struct {
	cmd     *exec.Cmd
	worker  int
	control *control.Client
}

// startProgram starts decoder up, built by make build, on free ports.
func startProgram(ctx context.Context, data string, args ...string) (*running, error) {
	bin, err := filepath.Abs("../../bin/decoder")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, bin, append([]string{"up", "--data", data, "--listen", "http://127.0.0.1:0", "--kafka", "tcp://127.0.0.1:0"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &running{cmd: cmd}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if strings.HasPrefix(sc.Text(), "  log ") {
			break
		}
	}
	go func() { _, _ = bufio.NewReader(out).WriteTo(&bytes.Buffer{}) }()
	p.control, err = control.Dial(ctx, data)
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("starting the program: %w\n%s", err, &stderr)
	}
	v, err := p.control.Version(ctx)
	if err != nil {
		p.stop()
		return nil, err
	}
	p.worker = v.PID
	return p, nil
}

func (p *running) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// memory reads a figure of the worker's memory, in bytes.
func (p *running) memory(name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.worker))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s of process %d", name, p.worker)
}

// cpu is the processor time the worker has used.
func (p *running) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.worker))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	const user, system, tick = 11, 12, 10 * time.Millisecond
	u, _ := strconv.Atoi(fields[user])
	s, _ := strconv.Atoi(fields[system])
	return time.Duration(u+s) * tick
}

func (p *running) awaitCount(ctx context.Context, query string, n uint64) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := p.control.Count(ctx, api.Question{Q: query})
		if err != nil {
			return err
		}
		if got >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
