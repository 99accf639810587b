package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/app"
)

type replayCmd struct {
	Files []string `arg:"" optional:"" help:"Captures (pcap, pcapng, gzipped) and folders of them."`
	Rules []string `help:"Rules to use instead of the configured ones; may be repeated." placeholder:"FILE" sep:"none"`
	Wait  bool     `help:"Return when every event is searchable, which is always so where no instance runs."`
	Job   string   `help:"Go on watching a replay job that was begun before, instead of new files." placeholder:"ID"`
	JSON  bool     `help:"One object a line and capture."`
}

// result is what --json prints of a capture; scripts rely on it.
type result struct {
	Capture string            `json:"capture"`
	Packets uint64            `json:"packets"`
	Events  map[string]uint64 `json:"events"`
	Alerts  map[string]uint64 `json:"alerts"`
	Error   string            `json:"error,omitempty"`
}

func (c *replayCmd) Run(ctx context.Context, g *globals, io streams) (err error) {
	if (len(c.Files) == 0) == (c.Job == "") {
		return usagef("give captures to replay, or --job ID to go on watching one")
	}
	files, err := absolute(c.Files)
	if err != nil {
		return err
	}
	rules, err := absolute(c.Rules)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if err := checkRules(r); err != nil {
			return err
		}
	}
	client, stop, err := g.instanceOr(ctx, app.ReplayParts, io)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }() // of the last one, see below
	job := c.Job
	if job == "" {
		submitted, err := client.SubmitReplay(ctx, api.ReplayRequest{Paths: files, Rules: rules})
		if err != nil {
			return asUsage(err)
		}
		job = submitted.ID
		fmt.Fprintf(io.err, "replay job %s: %s\n", job, counted(submitted.Captures, "capture"))
	}
	w := &replayView{out: io.out, err: io.err, json: c.JSON, bar: isTerminal(io.err)}
	if stop, err = watchReplay(ctx, g, io, client, stop, job, c.Wait, w); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("no longer watching; the replay goes on when an instance runs: decoder replay --job %s: %w", job, err)
		}
		return err
	}
	return w.finish()
}

// watchReplay follows a job to its end, and to the next instance when the one
// it asks is restarted. One that was there for another command alone is not
// waited for: the job is finished here. It returns what stops the last one.
func watchReplay(ctx context.Context, g *globals, io streams, client *control.Client, stop func() error, job string, wait bool, w *replayView) (func() error, error) {
	for passing := false; ; {
		running, err := client.Version(ctx)
		if err == nil {
			passing, w.at = running.Passing, 0
			// Once the instance of a command is gone, nobody makes events searchable.
			err = client.WatchReplay(ctx, job, wait || passing, w.update)
		}
		if err == nil || ctx.Err() != nil {
			return stop, err
		}
		if _, answered := errors.AsType[*api.Error](err); answered && !errors.Is(err, api.ErrUnavailable) {
			return stop, err
		}
		none := func() error { return nil }
		if err := stop(); err != nil {
			return none, err
		}
		if passing {
			client, stop, err = g.instanceOr(ctx, app.ReplayParts, io)
		} else {
			fmt.Fprintln(w.err, "the instance is gone; waiting for its next start")
			if client, err = awaitInstance(ctx, g); err == nil {
				stop = client.Close
			}
		}
		if err != nil {
			return none, err
		}
	}
}

// checkRules says what is wrong with a rule file before anything is started.
func checkRules(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return usagef("reading rules: %w", err)
	}
	return nil
}

func absolute(paths []string) ([]string, error) {
	out := make([]string, len(paths))
	for i, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", p, err)
		}
		out[i] = abs
	}
	return out, nil
}

// replayView shows the news of a replay. Each capture is shown once, however
// often the watch begins again.
type replayView struct {
	out, err  io.Writer
	json, bar bool

	last     api.Replay
	at       int // captures of the present watch, which come in the same order each time
	captures []api.Capture
}

func (v *replayView) update(u api.ReplayUpdate) error {
	v.last = u.Replay
	if c := u.Capture; c != nil {
		if v.at++; v.at > len(v.captures) {
			v.captures = append(v.captures, *c)
			if err := v.capture(*c); err != nil {
				return err
			}
		}
	}
	if v.bar {
		v.drawBar()
	}
	return nil
}

func (v *replayView) capture(c api.Capture) error {
	v.clearBar()
	if c.Error != "" {
		fmt.Fprintf(v.err, "%s: %s\n", clean(c.Path), clean(c.Error))
	}
	if v.json {
		return printJSON(v.out, result{Capture: c.Capture, Packets: c.Packets, Events: orEmpty(c.Events), Alerts: orEmpty(c.Alerts), Error: c.Error})
	}
	return nil
}

func orEmpty(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return m
}

const barWidth = 30

func (v *replayView) drawBar() {
	r := v.last
	if r.Captures == 0 {
		return
	}
	full := barWidth * r.Done / r.Captures
	fmt.Fprintf(v.err, "\r\x1b[K[%s%s] %d of %d captures, %d packets", strings.Repeat("█", full), strings.Repeat("·", barWidth-full), r.Done, r.Captures, r.Packets)
	if r.State == api.ReplayDone && !r.Searchable {
		fmt.Fprint(v.err, ", making them searchable")
	}
}

func (v *replayView) clearBar() {
	if v.bar {
		fmt.Fprint(v.err, "\r\x1b[K")
	}
}

// finish prints the sums, and returns errNamed when a capture or a rule failed.
func (v *replayView) finish() error {
	v.clearBar()
	sum := result{Events: map[string]uint64{}, Alerts: map[string]uint64{}}
	failed := 0
	for _, c := range v.captures {
		sum.Packets += c.Packets
		add(sum.Events, c.Events)
		add(sum.Alerts, c.Alerts)
		if c.Error != "" {
			failed++
		}
	}
	w := v.out
	if v.json {
		w = v.err
	}
	fmt.Fprintf(w, "%s, %s\n", counted(len(v.captures), "capture"), counted(sum.Packets, "packet"))
	printCounts(w, "events", sum.Events)
	printCounts(w, "alerts by signature", sum.Alerts)
	refused := v.refusedRules()
	if v.last.Error != "" {
		return errors.New(v.last.Error)
	}
	if failed > 0 {
		fmt.Fprintf(v.err, "%d of %s not or not wholly read, as named above\n", failed, counted(len(v.captures), "capture"))
	}
	if failed > 0 || refused {
		return errNamed
	}
	return nil
}

// refusedRules names the rules that the engine refused, and reports whether
// any was of those the replay brought: the configured ones are looked after
// elsewhere.
func (v *replayView) refusedRules() (own bool) {
	r := v.last.Rules
	if r.Failed == 0 {
		return false
	}
	fmt.Fprintf(v.err, "%d of %s refused by Suricata:\n", r.Failed, counted(r.Loaded+r.Failed, "rule"))
	for _, reason := range r.Reasons {
		fmt.Fprintf(v.err, "  %s\n", clean(reason))
	}
	if more := r.Failed - len(r.Reasons); more > 0 {
		fmt.Fprintf(v.err, "  and %d more\n", more)
	}
	return r.Own
}

func add(to, from map[string]uint64) {
	for k, n := range from {
		to[k] += n
	}
}

func printCounts(w io.Writer, title string, counts map[string]uint64) {
	if len(counts) == 0 {
		return
	}
	fmt.Fprintf(w, "%s:\n", title)
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return int(int64(counts[b]) - int64(counts[a]))
		}
		return strings.Compare(a, b)
	})
	for _, k := range keys {
		fmt.Fprintf(w, "  %8d  %s\n", counts[k], clean(k))
	}
}
