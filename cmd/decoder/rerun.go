package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/client/rerun"
)

type rerunCmd struct {
	Stage    string   `help:"Stage to run again over what the log holds." placeholder:"NAME"`
	From     string   `help:"Begin with records of that time: RFC 3339, a date (UTC), or an age such as 7d." placeholder:"TIME"`
	Rules    []string `help:"With --stage detect: the rules that count, instead of those the sensor had; may be repeated. A rule that is not among them alerts no more, one that is changed alerts as it says now. New rules find nothing: only a replay of captures reads packets again." placeholder:"FILE" sep:"none"`
	Ask      bool     `help:"With a stage of one's own that calls a service: it may be called again."`
	Note     string   `help:"Why." placeholder:"TEXT"`
	List     bool     `help:"List the reruns."`
	Show     string   `help:"Show a rerun, and what it made otherwise than the live run." placeholder:"ID"`
	Continue string   `help:"Go on with a rerun that was interrupted or cancelled." placeholder:"ID"`
	Cancel   string   `help:"Cancel a rerun." placeholder:"ID"`
	JSON     bool     `help:"As JSON."`
}

func (c *rerunCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case c.List:
		return c.list(ctx, client, io)
	case c.Show != "":
		return c.show(ctx, client, io, c.Show)
	case c.Cancel != "":
		return asUsage(client.CancelRerun(ctx, c.Cancel))
	case c.Continue != "":
		if err := client.ContinueRerun(ctx, c.Continue); err != nil {
			return asUsage(err)
		}
		return c.watch(ctx, client, io, c.Continue)
	case c.Stage != "":
		rules, err := absolute(c.Rules)
		if err != nil {
			return err
		}
		r, err := client.BeginRerun(ctx, api.RerunRequest{Stage: c.Stage, From: c.From, Rules: rules, Ask: c.Ask, Note: c.Note})
		if err != nil {
			return asUsage(err)
		}
		return c.watch(ctx, client, io, r.ID)
	}
	return usagef("say what to do: --stage, --list, --show, --continue or --cancel")
}

func (c *rerunCmd) list(ctx context.Context, client *control.Client, io streams) error {
	all, err := client.Reruns(ctx)
	if err != nil {
		return err
	}
	return list(io.out, c.JSON, all, "ID STAGE STATE DONE OF STARTED NOTE", func(r api.Rerun) []string {
		return []string{r.ID, r.Stage, r.State, number(r.Done), number(r.Total), local(r.Started), r.Note}
	})
}

// watch shows how far a rerun has come until it has ended. An interrupt leaves
// it running.
func (c *rerunCmd) watch(ctx context.Context, client *control.Client, io streams, id string) error {
	for said := int64(-1); ; {
		r, err := client.Rerun(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				fmt.Fprintf(io.err, "rerun %s goes on; decoder rerun --show %s\n", id, id)
				return nil
			}
			return err
		}
		if r.Done != said {
			fmt.Fprintf(io.err, "rerun %s: %d of %d records\n", id, r.Done, r.Total)
			said = r.Done
		}
		switch r.State {
		case "done":
			return c.show(ctx, client, io, id)
		case "cancelled", "paused":
			return fmt.Errorf("rerun %s is %s after %d of %d records%s", id, r.State, r.Done, r.Total, because(r))
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (c *rerunCmd) show(ctx context.Context, client *control.Client, io streams, id string) error {
	r, err := client.Rerun(ctx, id)
	if err != nil {
		return asUsage(err)
	}
	d, err := client.CompareRerun(ctx, id)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, struct {
			api.Rerun
			Difference rerun.Difference `json:"difference"`
		}{r, d})
	}
	fmt.Fprintf(io.out, "rerun %s of %s is %s: %d of %d records%s\n", r.ID, r.Stage, r.State, r.Done, r.Total, because(r))
	fmt.Fprintf(io.out, "as live: %d, new: %d, gone: %d, changed: %d, not handled: %d\n", d.Same, d.New.Count, d.Gone.Count, d.Changed.Count, d.Failed)
	for _, l := range []struct {
		what string
		of   rerun.Changes
	}{{"new", d.New}, {"gone", d.Gone}, {"changed", d.Changed}} {
		for _, one := range l.of.First {
			fmt.Fprintln(io.out, l.what, one.ID, differenceOf(one))
		}
		if more := l.of.Count - len(l.of.First); more > 0 {
			fmt.Fprintf(io.out, "%s: %d more\n", l.what, more)
		}
	}
	return nil
}

func because(r api.Rerun) string {
	if r.Problem == "" {
		return ""
	}
	return ": " + clean(r.Problem)
}

// differenceOf says which document it is, and of one that has changed, how.
func differenceOf(c rerun.Change) string {
	switch {
	case c.Was == nil && c.Now != nil:
		return summaryOf(*c.Now)
	case c.Now == nil && c.Was != nil:
		return summaryOf(*c.Was)
	case c.Now == nil:
		return ""
	}
	was, now := summaryOf(*c.Was), summaryOf(*c.Now)
	if was != now {
		return was + " -> " + now
	}
	return now + " (" + clean(strings.Join(c.Fields, ", ")) + ")"
}

func summaryOf(s rerun.Summary) string {
	text := s.Severity
	if s.Score > 0 {
		text += fmt.Sprintf(" %g", s.Score)
	}
	return clean(strings.TrimSpace(text + " " + s.Title))
}
