package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/app"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/hygiene/measure"
	"github.com/decodersring/decoder/internal/source/maildir"
)

type mailCmd struct {
	Check   mailCheckCmd   `cmd:"" help:"Judge messages in files, with the checks that ask nobody; no instance is needed."`
	Measure mailMeasureCmd `cmd:"" help:"Say what each check is worth on folders of bad and of good mail."`
	Checks  mailChecksCmd  `cmd:"" help:"List the checks: points, reason, what makes a finding harmless; and, of a running instance, the outside services with their quotas."`
	Import  mailImportCmd  `cmd:"" help:"Append messages to the log: files, mbox files, Maildirs, folders of them."`
}

type mailCheckCmd struct {
	Files []string `arg:"" help:"Messages and folders of them; - is standard input."`
	JSON  bool     `help:"One object a line and message."`
}

// mailResult is what --json prints of a message; scripts rely on it.
type mailResult struct {
	File    string          `json:"file"`
	From    string          `json:"from"`
	Subject string          `json:"subject"`
	Defects []string        `json:"defects,omitempty"`
	Verdict hygiene.Verdict `json:"verdict"`
}

func (c *mailCheckCmd) Run(ctx context.Context, g *globals, io streams) error {
	conf, err := g.config()
	if err != nil {
		return err
	}
	engine, err := conf.Mail.Engine()
	if err != nil {
		return err
	}
	failed := false
	name := func(path string, err error) {
		failed = true
		fmt.Fprintf(io.err, "%s: %s\n", clean(path), clean(err.Error()))
	}
	for _, f := range c.Files {
		err := messages(ctx, f, io.in, name, func(path string, value []byte) error {
			raw, d, _, err := mail.Unwrap(value)
			if err != nil {
				name(path, err)
				return nil
			}
			doc := mail.Decode(raw, d, conf.Mail.MailOptions())
			r := mailResult{path, doc.Mail.From.Address, doc.Email.Subject, doc.Mail.Defects, engine.Check(ctx, doc)}
			return r.print(io.out, c.JSON)
		})
		if err != nil {
			return err
		}
	}
	if failed {
		return errNamed
	}
	return nil
}

// messages calls f with each file of a path, and unread with what cannot be
// read; the rest goes on.
func messages(ctx context.Context, path string, in io.Reader, unread func(string, error), f func(string, []byte) error) error {
	if path == "-" {
		b, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		return f("-", b)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // WalkDir does not follow
	}
	return filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			unread(p, err)
			return nil
		case !d.Type().IsRegular():
			if p == path && !d.IsDir() {
				unread(p, errors.New("not a regular file"))
			}
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			unread(p, err)
			return nil
		}
		if p != path && !mail.IsMessage(b) {
			return nil
		}
		return f(p, b)
	})
}

func (r mailResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	fmt.Fprintf(w, "%s: %s, score %d\n  from %q, subject %q\n", r.File, r.Verdict.Result, r.Verdict.Score, r.From, r.Subject)
	for _, k := range r.Verdict.Checks {
		fmt.Fprintf(w, "  %+4d  %-24s %q\n        harmless if: %s\n", k.Points, k.Name, k.Evidence, k.Benign)
	}
	for _, d := range r.Defects {
		fmt.Fprintf(w, "        defect: %s\n", d)
	}
	return nil
}

type mailMeasureCmd struct {
	Bad    []string `required:"" help:"Folder of bad mail; may be repeated." placeholder:"DIR" sep:"none"`
	Good   []string `required:"" help:"Folder of good mail, counted by itself; may be repeated." placeholder:"DIR" sep:"none"`
	NoAuth bool     `help:"Leave authentication out, for mail whose signatures are broken."`
	False  bool     `help:"Name the good messages that were marked, with the checks that did it."`
	Missed bool     `help:"Name the bad messages that were not."`
}

func (c *mailMeasureCmd) Run(ctx context.Context, g *globals, io streams) error {
	conf, err := g.config()
	if err != nil {
		return err
	}
	var disabled []string
	if c.NoAuth {
		disabled = []string{"auth_fail"}
	}
	engine, err := conf.Mail.Engine(disabled...)
	if err != nil {
		return err
	}
	r, err := measure.Folders(ctx, engine, conf.Mail.MailOptions(), c.Bad, c.Good)
	if err != nil {
		return err
	}
	if err := r.WriteText(io.out); err != nil {
		return err
	}
	list := func(wanted bool, what string, all []measure.Marked) {
		for _, m := range all {
			if wanted {
				fmt.Fprintf(io.out, "%s %s: score %d\n", what, m.Path, m.Verdict.Score)
				for _, k := range m.Verdict.Checks {
					fmt.Fprintf(io.out, "  %+4d  %-24s %q\n", k.Points, k.Name, k.Evidence)
				}
			}
		}
	}
	list(c.False, "false", r.False)
	list(c.Missed, "missed", r.Missed)
	return nil
}

type mailChecksCmd struct{}

func (c *mailChecksCmd) Run(ctx context.Context, g *globals, io streams) error {
	conf, err := g.config()
	if err != nil {
		return err
	}
	engine, err := conf.Mail.Engine()
	if err != nil {
		return err
	}
	for _, k := range engine.Checks() {
		fmt.Fprintf(io.out, "%+4d  %s\n      %s\n      Harmless: %s\n", k.Points, k.Name, k.Reason, k.Benign)
	}
	return c.services(ctx, g, io)
}

// services prints how the instance's services stand, if one runs.
func (c *mailChecksCmd) services(ctx context.Context, g *globals, io streams) error {
	client, err := control.Dial(ctx, g.dir())
	if errors.Is(err, control.ErrNoInstance) {
		return nil
	}
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := client.Services(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	fmt.Fprintln(io.out, "\nOutside services:")
	for _, s := range all {
		state := "asked"
		switch {
		case s.Breaker == "open":
			state = "left alone, it failed too often"
		case !s.Paused.IsZero():
			state = "paused until " + s.Paused.Local().Format(time.DateTime)
		case s.Quota > 0 && s.Spent >= s.Quota:
			state = "the day's quota is used up"
		}
		quota := ""
		if s.Quota > 0 {
			quota = fmt.Sprintf(" of %d", s.Quota)
		}
		fmt.Fprintf(io.out, "      %-16s %s; %d%s calls today, %d answers kept; %s\n", s.Name, strings.Join(s.Kinds, ", "), s.Spent, quota, s.Cached, state)
	}
	return nil
}

type mailImportCmd struct {
	Paths []string `arg:"" help:"Files of one message, mbox files, Maildirs, and folders of any of these."`
}

func (c *mailImportCmd) Run(ctx context.Context, g *globals, io streams) error {
	conf, err := g.config()
	if err != nil {
		return err
	}
	log, stop, err := app.OpenLog(ctx, conf, g.dir())
	if err != nil {
		return err
	}
	defer stop()
	last := time.Now()
	p, err := maildir.Import(ctx, log, c.Paths, func(p maildir.Progress) {
		if time.Since(last) > time.Second {
			last = time.Now()
			fmt.Fprintf(io.err, "%d files, %d messages, %d bytes: %s\n", p.Files, p.Messages, p.Bytes, p.Path)
		}
	})
	fmt.Fprintf(io.err, "%d messages of %d files appended, %d skipped\n", p.Messages, p.Files, p.Skipped)
	return err
}
