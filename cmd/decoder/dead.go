package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/inbox"
)

type deadCmd struct {
	List    deadListCmd    `cmd:"" default:"withargs" help:"List dead letters, grouped by stage and error, newest first."`
	Show    deadShowCmd    `cmd:"" help:"Show a dead letter: why, and the record as it was."`
	Edit    deadEditCmd    `cmd:"" help:"Send a dead letter back with another value."`
	Try     deadTryCmd     `cmd:"" help:"Run a dead letter through its stage, or ask its sink, without writing anything."`
	Resend  deadResendCmd  `cmd:"" help:"Send dead letters back to their stage."`
	Discard deadDiscardCmd `cmd:"" help:"Discard dead letters: they stay, but nobody is asked about them any more."`
}

// deadFilter chooses dead letters.
type deadFilter struct {
	Stage string `help:"Of one stage or sink." placeholder:"NAME"`
	Code  string `help:"With one error code." placeholder:"CODE"`
	Text  string `help:"With this in the error, the key or the value." placeholder:"TEXT"`
	From  string `help:"Failed at or after: RFC 3339, a date (UTC), or an age such as 24h." placeholder:"TIME"`
	To    string `help:"Failed before." placeholder:"TIME"`
	State string `help:"open, resent, discarded or all." enum:"open,resent,discarded,all" default:"open"`
}

func (f deadFilter) filter(limit int) api.DeadLetterFilter {
	return api.DeadLetterFilter{
		Client: f.Stage, Code: f.Code, Text: f.Text, State: f.State, Range: api.Range{From: f.From, To: f.To}, Limit: limit,
	}
}

type deadListCmd struct {
	deadFilter
	Limit int  `help:"At most so many, 1 to 1000." default:"100"`
	JSON  bool `help:"One letter a line."`
}

func (c *deadListCmd) Run(ctx context.Context, g *globals, io streams) error {
	if c.Limit == 0 {
		return usagef("--limit is 1 to 1000")
	}
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	l, err := client.DeadLetters(ctx, c.filter(c.Limit))
	if err != nil {
		return asUsage(err)
	}
	letter := func(d api.DeadLetter) []string {
		return []string{placeOf(d), d.Client, d.Code, number(d.Attempts), d.State, local(d.Last), firstLine(d.Error)}
	}
	if !c.JSON && len(l.Letters) > 0 {
		err := list(io.out, false, l.Groups, "STAGE ERROR COUNT FIRST LAST", func(g api.DeadLetterGroup) []string {
			return []string{g.Client, g.Code, number(g.Count), local(g.First), local(g.Last)}
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(io.out)
	}
	return list(io.out, c.JSON, l.Letters, "PLACE STAGE ERROR ATTEMPTS STATE LAST WHAT", letter)
}

func placeOf(d api.DeadLetter) string { return dead.Place(d.Position).String() }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return clean(line)
}

// places reads the places named on the command line.
func places(names []string) ([]inbox.Position, error) {
	all := make([]inbox.Position, len(names))
	for i, n := range names {
		p, err := dead.ParsePlace(n)
		if err != nil {
			return nil, usageError{err}
		}
		all[i] = inbox.Position(p)
	}
	return all, nil
}

type deadShowCmd struct {
	Place string `arg:"" help:"As the list names it: dead_STAGE/PARTITION/OFFSET."`
	Value bool   `help:"Only the record's value, byte for byte."`
	JSON  bool   `help:"Everything as JSON."`
}

func (c *deadShowCmd) Run(ctx context.Context, g *globals, io streams) error {
	at, err := places([]string{c.Place})
	if err != nil {
		return err
	}
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	d, err := client.DeadLetter(ctx, at[0].Topic, at[0].Partition, at[0].Offset)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(io.out, d)
	case c.Value:
		_, err := io.out.Write(d.Record.Value)
		return err
	}
	fmt.Fprintf(io.out, "%s failed with %s after %d attempts, first %s, last %s\n%s\n", d.Client, d.Code, d.Attempts, local(d.First), local(d.Last), cleanLines(d.Error))
	for _, f := range d.Failures {
		fmt.Fprintf(io.out, "before: %s, %d attempts, last %s: %s\n", f.Code, f.Attempts, local(f.Last), firstLine(f.Error))
	}
	fmt.Fprintf(io.out, "%s", d.State)
	if d.By != "" {
		fmt.Fprintf(io.out, " by %s, %s", clean(d.By), local(d.Decided))
	}
	fmt.Fprintf(io.out, "\n\nrecord of %s, key %s\n", dead.Place(d.Origin), clean(string(d.Record.Key)))
	for _, h := range d.Record.Headers {
		fmt.Fprintf(io.out, "%s: %s\n", clean(h.Key), clean(string(h.Value)))
	}
	_, err = fmt.Fprintf(io.out, "\n%s\n", cleanLines(string(d.Record.Value)))
	return err
}

func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

type deadEditCmd struct {
	Place string `arg:"" help:"As the list names it."`
	File  string `required:"" help:"File with the new value, - for standard input: decoder dead show --value PLACE >FILE gives the old." placeholder:"FILE"`
	Note  string `help:"Why." placeholder:"TEXT"`
}

func (c *deadEditCmd) Run(ctx context.Context, g *globals, _ streams) error {
	t, err := tryOf(c.Place, c.File)
	if err != nil {
		return err
	}
	t.Note = c.Note
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.EditLetter(ctx, t)
}

// tryOf names a letter, with the value of a file unless that is "".
func tryOf(place, file string) (api.LetterTry, error) {
	at, err := places([]string{place})
	if err != nil {
		return api.LetterTry{}, err
	}
	t := api.LetterTry{Letter: at[0]}
	if file == "" {
		return t, nil
	}
	var value []byte
	if file == "-" {
		value, err = io.ReadAll(os.Stdin)
	} else {
		value, err = os.ReadFile(file)
	}
	if err != nil {
		return t, fmt.Errorf("reading the new value: %w", err)
	}
	bytes := api.Bytes(value)
	t.Value = &bytes
	return t, nil
}

type deadTryCmd struct {
	Place string `arg:"" help:"As the list names it."`
	File  string `help:"File with another value to try, - for standard input." placeholder:"FILE"`
	JSON  bool   `help:"The answer as JSON."`
}

func (c *deadTryCmd) Run(ctx context.Context, g *globals, io streams) error {
	t, err := tryOf(c.Place, c.File)
	if err != nil {
		return err
	}
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	tried, err := client.TryLetter(ctx, t)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, tried)
	}
	for _, r := range tried.Outputs {
		fmt.Fprintf(io.out, "%s %s\n", r.Topic, clean(string(r.Value)))
	}
	if tried.Error != "" {
		return fmt.Errorf("it fails again, %s: %s", tried.Code, firstLine(tried.Error))
	}
	if tried.Sink {
		fmt.Fprintln(io.err, "it would be written now")
		return nil
	}
	fmt.Fprintf(io.err, "it is handled now, and gives %d records\n", len(tried.Outputs))
	return nil
}

// chosen are dead letters by place or by filter.
type chosen struct {
	deadFilter
	Places []string `arg:"" optional:"" help:"As the list names them."`
	All    bool     `help:"All that the filter chooses."`
	Note   string   `help:"Why." placeholder:"TEXT"`
}

func (c *chosen) letters() (api.Letters, error) {
	if (len(c.Places) > 0) == c.All {
		return api.Letters{}, usagef("name the letters' places, or choose them by a filter with --all")
	}
	l := api.Letters{Note: c.Note}
	if c.All {
		f := c.filter(0)
		l.Filter = &f
		return l, nil
	}
	var err error
	l.Letters, err = places(c.Places)
	return l, err
}

type deadResendCmd struct{ chosen }

func (c *deadResendCmd) Run(ctx context.Context, g *globals, io streams) error {
	return c.decide(ctx, g, io, "on their way back", (*control.Client).Resend)
}

type deadDiscardCmd struct{ chosen }

func (c *deadDiscardCmd) Run(ctx context.Context, g *globals, io streams) error {
	return c.decide(ctx, g, io, "discarded", (*control.Client).Discard)
}

func (c *chosen) decide(ctx context.Context, g *globals, io streams, what string, do func(*control.Client, context.Context, api.Letters) (int, error)) error {
	l, err := c.letters()
	if err != nil {
		return err
	}
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	n, err := do(client, ctx, l)
	if err == nil {
		fmt.Fprintf(io.err, "%s: %s\n", what, counted(n, "dead letter"))
	}
	return asUsage(err)
}
