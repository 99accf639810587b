package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/inbox"
)

type alertsCmd struct {
	List     alertsListCmd   `cmd:"" default:"withargs" help:"List alert groups, newest first."`
	Show     alertsShowCmd   `cmd:"" help:"Show an alert group: why, its events, its history."`
	Archive  alertsActionCmd `cmd:"" help:"Archive alert groups: they are dealt with."`
	Escalate alertsActionCmd `cmd:"" help:"Escalate alert groups."`
	Reopen   alertsActionCmd `cmd:"" help:"Make alert groups new again."`
	Note     alertsNoteCmd   `cmd:"" help:"Add a note to an alert group."`
}

type alertsListCmd struct {
	Tab      string `help:"new, escalated, archived or all." enum:"new,escalated,archived,all" default:"all"`
	Severity string `help:"The lowest wanted: low, medium, high, critical." placeholder:"LEVEL"`
	Kind     string `help:"network, host, mail or pipeline." placeholder:"KIND"`
	Text     string `help:"Part of title, address, name or rule id." placeholder:"TEXT"`
	Rerun    string `help:"What a rerun found, instead of the live alerts." placeholder:"ID"`
	From     string `help:"Last seen at or after: RFC 3339, a date (UTC), or an age such as 24h." placeholder:"TIME"`
	To       string `help:"Last seen before." placeholder:"TIME"`
	Limit    int    `help:"At most so many, 0 for all." default:"100"`
	JSON     bool   `help:"One group a line."`
}

func (c *alertsListCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	filter := api.AlertFilter{
		Tab: c.Tab, Severity: c.Severity, Kind: c.Kind, Rerun: c.Rerun, Text: c.Text, Range: api.Range{From: c.From, To: c.To},
	}
	var groups []inbox.Group
	var counts inbox.Counts
	err = eachAlert(ctx, client, filter, c.Limit, &counts, func(a inbox.Group) error {
		groups = append(groups, a)
		return nil
	})
	if err != nil {
		return err
	}
	err = list(io.out, c.JSON, groups, "ID SEVERITY SCORE STATE COUNT LAST WHAT SOURCE DESTINATION", func(a inbox.Group) []string {
		return []string{
			ref(a.Group), a.Severity, number(int64(a.Score)), string(a.State), number(a.Count), local(a.Last), a.Title,
			endpointName(a.Source), endpointName(a.Destination),
		}
	})
	if err == nil && !c.JSON {
		fmt.Fprintf(io.err, "%d new, %d escalated, %d archived\n", counts.New, counts.Escalated, counts.Archived)
	}
	return err
}

func endpointName(e inbox.Endpoint) string {
	port := ""
	if e.Port > 0 {
		port = number(e.Port)
	}
	if e.Name != "" && e.Address == "" {
		return e.Name
	}
	return endpoint(e.Address, port)
}

// eachAlert pages through the inbox; limit 0 is all.
func eachAlert(ctx context.Context, client *control.Client, f api.AlertFilter, limit int, counts *inbox.Counts, take func(inbox.Group) error) error {
	for left := limit; ; {
		f.Limit = 1000
		if limit > 0 {
			f.Limit = min(left, 1000)
		}
		page, err := client.Alerts(ctx, f)
		if err != nil {
			return asUsage(err)
		}
		*counts = page.Counts
		for _, a := range page.Groups {
			if err := take(a); err != nil {
				return err
			}
		}
		left -= len(page.Groups)
		if page.Cursor == "" || limit > 0 && left <= 0 {
			return nil
		}
		f.Cursor = page.Cursor
	}
}

// asUsage makes a refused request the caller's mistake.
func asUsage(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == "bad_request" {
		return usageError{err}
	}
	return err
}

// refLength is how much of its hash names a group on the command line.
const refLength = 10

// ref is a short name for an alert group.
func ref(group string) string { return event.ID(group, "alert-group", 0)[:refLength] }

// resolve turns what the user named, a short name or a group, into groups.
func resolve(ctx context.Context, client *control.Client, rerun string, names []string) ([]string, error) {
	var all []string
	var counts inbox.Counts
	err := eachAlert(ctx, client, api.AlertFilter{Rerun: rerun}, 0, &counts, func(a inbox.Group) error {
		all = append(all, a.Group)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(names))
	for _, name := range names {
		var found []string
		for _, group := range all {
			if group == name {
				found = []string{group}
				break
			}
			if len(name) >= 4 && strings.HasPrefix(ref(group), strings.ToLower(name)) {
				found = append(found, group)
			}
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("there is no alert group %q; decoder alerts lists them", name)
		case 1:
			out = append(out, found[0])
		default:
			return nil, usagef("%q names %d alert groups; give more of it", name, len(found))
		}
	}
	return out, nil
}

type alertsShowCmd struct {
	ID    string `arg:"" help:"As decoder alerts shows it, or the group itself."`
	Rerun string `help:"Of what a rerun found." placeholder:"ID"`
	JSON  bool   `help:"Everything, as one object."`
}

func (c *alertsShowCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	groups, err := resolve(ctx, client, c.Rerun, []string{c.ID})
	if err != nil {
		return err
	}
	d, err := client.Alert(ctx, groups[0])
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, d)
	}
	return printAlert(io.out, d)
}

func printAlert(w io.Writer, d api.AlertDetail) error {
	fmt.Fprintf(w, "%s\n", clean(d.Title))
	fmt.Fprintf(w, "  %s, score %.0f, %s; %s, %s to %s\n", d.Severity, d.Score, d.State, counted(d.Count, "alert"), local(d.First), local(d.Last))
	fmt.Fprintf(w, "  %s → %s", clean(endpointName(d.Source)), clean(endpointName(d.Destination)))
	if d.Sensor != "" {
		fmt.Fprintf(w, ", seen by %s", clean(d.Sensor))
	}
	if d.Capture != "" {
		fmt.Fprintf(w, ", replayed from %s", clean(d.Capture))
	}
	fmt.Fprintf(w, "\n  group %s\n\nWhy\n", clean(d.Group.Group))
	for _, check := range d.Checks {
		fmt.Fprintf(w, "  %+.0f  %s: %s\n", check.Points, clean(check.Name), clean(evidence(check.Evidence)))
		if check.Benign != "" {
			fmt.Fprintf(w, "      harmless if: %s\n", clean(check.Benign))
		}
	}
	fmt.Fprintln(w, "\nEvidence")
	for _, e := range d.Events {
		fmt.Fprint(w, "  ")
		if err := printEvent(w, e); err != nil {
			return err
		}
	}
	if d.Missing > 0 {
		fmt.Fprintf(w, "  not in the store: %s\n", counted(d.Missing, "event"))
	}
	if len(d.History) > 0 {
		fmt.Fprintln(w, "\nHistory")
	}
	for _, h := range d.History {
		fmt.Fprintf(w, "  %s  %s  %s  %s\n", local(h.Time), clean(h.Who), h.What, clean(h.Why))
	}
	return nil
}

// evidence shows text as it is and all else as JSON.
func evidence(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

type alertsActionCmd struct {
	IDs []string `arg:"" name:"id" help:"As decoder alerts shows them."`
	Why string   `help:"The reason, kept in the history." placeholder:"TEXT"`
}

func (c *alertsActionCmd) Run(ctx context.Context, g *globals, io streams, command commandName) error {
	return changeAlerts(ctx, g, io, c.IDs, inbox.Action(command.last()), c.Why)
}

type alertsNoteCmd struct {
	ID   string   `arg:"" help:"As decoder alerts shows it."`
	Text []string `arg:"" help:"The note."`
}

func (c *alertsNoteCmd) Run(ctx context.Context, g *globals, io streams) error {
	return changeAlerts(ctx, g, io, []string{c.ID}, inbox.Note, strings.Join(c.Text, " "))
}

func changeAlerts(ctx context.Context, g *globals, io streams, ids []string, what inbox.Action, why string) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	groups, err := resolve(ctx, client, "", ids)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	done, err := client.ChangeAlerts(ctx, api.AlertChange{Groups: groups, What: what, Why: why})
	if err != nil {
		return asUsage(err)
	}
	for _, name := range done.Unknown {
		fmt.Fprintf(io.err, "no longer there: %s\n", clean(name))
	}
	fmt.Fprintf(io.err, "%s: %s\n", what, counted(done.Changed, "alert group"))
	if len(done.Unknown) > 0 {
		return errNamed
	}
	return nil
}
