package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/app"
	"github.com/decodersring/decoder/internal/config"
)

// cli is every command and flag.
type cli struct {
	globals

	Up       upCmd       `cmd:"" help:"Watch the network: start everything and stay."`
	Run      runCmd      `cmd:"" help:"Run chosen stages as a process of their own, on a cluster's log."`
	Replay   replayCmd   `cmd:"" help:"Send captures through the sensor."`
	Search   searchCmd   `cmd:"" help:"Find events."`
	Alerts   alertsCmd   `cmd:"" help:"Look through alerts: list, show, archive, escalate, note."`
	Inbox    inboxCmd    `cmd:"" help:"The view that alerts are triaged in."`
	Mail     mailCmd     `cmd:"" help:"Mail: check, measure, checks, import."`
	Topics   topicsCmd   `cmd:"" help:"The topics of the log."`
	Groups   groupsCmd   `cmd:"" help:"The consumer groups of the log and how far they are behind."`
	Dead     deadCmd     `cmd:"" help:"Records that could not be handled: list, show, edit, try, resend, discard."`
	Rerun    rerunCmd    `cmd:"" help:"Run a stage again over what the log holds, apart from the live run."`
	Log      logCmd      `cmd:"" help:"The files of the embedded log: verify, dump."`
	Tail     tailCmd     `cmd:"" help:"Print the records of a topic."`
	Rules    rulesCmd    `cmd:"" help:"The sensor's rules: update, list, enable, disable."`
	Notify   notifyCmd   `cmd:"" help:"Who is told of alerts: list, test."`
	Config   configCmd   `cmd:"" help:"The configuration: check, print."`
	Doctor   doctorCmd   `cmd:"" help:"Say what is missing or wrong, and how to mend it."`
	Selftest selftestCmd `cmd:"" help:"Make a harmless exchange that must raise an alert."`
	Password passwordCmd `cmd:"" help:"Set a user's password for the browser page."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// globals are the flags of every command.
type globals struct {
	Data       string `help:"Data folder (default: ${data_default})." placeholder:"DIR" env:"DECODER_DATA"`
	ConfigFile string `name:"config" help:"Configuration file (default: decoder.yml in the data folder, then /etc/decoder/decoder.yml)." placeholder:"FILE" env:"DECODER_CONFIG"`
}

// dir is the data folder.
func (g *globals) dir() string {
	if g.Data != "" {
		return g.Data
	}
	return app.DefaultDataDir()
}

func (g *globals) config() (app.Config, error) {
	c, _, err := app.LoadConfig(g.ConfigFile, g.dir())
	return c, wrongConfig(err)
}

// wrongConfig makes everything that is wrong with a configuration, be it that
// its file cannot be read, the caller's mistake.
func wrongConfig(err error) error {
	if _, told := errors.AsType[config.Problems](err); err == nil || told {
		return err
	}
	return usageError{err}
}

// instance reaches the instance on the data folder, or says how to start one.
func (g *globals) instance(ctx context.Context) (*control.Client, error) {
	c, err := control.Dial(ctx, g.dir())
	if errors.Is(err, control.ErrNoInstance) {
		return nil, fmt.Errorf("no instance runs on %s; start one with: decoder up --data %s", g.dir(), g.dir())
	}
	return c, unreachable(err)
}

// unreachable says what to do about an instance of somebody else.
func unreachable(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; run it as the user the instance runs as, or name a folder of your own with --data", err)
	}
	return err
}

// instanceOr reaches the instance on the data folder, or starts the parts
// named in this process. stop ends what was started.
func (g *globals) instanceOr(ctx context.Context, parts app.Parts, io streams) (c *control.Client, stop func() error, err error) {
	for {
		c, err = control.Dial(ctx, g.dir())
		if err == nil && parts.Pipeline && servesSearch(ctx, c) {
			if err := errors.Join(c.Close(), pause(ctx)); err != nil {
				return nil, nil, err
			}
			continue // until it has ended
		}
		if err == nil {
			return c, c.Close, nil
		}
		if !errors.Is(err, control.ErrNoInstance) {
			return nil, nil, unreachable(err)
		}
		c, stop, err = g.startHere(ctx, parts, io)
		if _, taken := errors.AsType[*app.InUseError](err); taken && app.Running(g.dir()) {
			continue // another command has started meanwhile, and answers now
		}
		return c, stop, err
	}
}

// servesSearch reports whether the instance is there for a decoder search
// alone, and has nothing to replay with.
func servesSearch(ctx context.Context, c *control.Client) bool {
	running, err := c.Version(ctx)
	if err != nil || !running.Passing {
		return false
	}
	_, err = c.Replays(ctx)
	return errors.Is(err, api.ErrUnavailable)
}

// startHere starts the parts named in this process, and reaches them.
func (g *globals) startHere(ctx context.Context, parts app.Parts, io streams) (c *control.Client, stop func() error, err error) {
	conf, err := g.config()
	if err != nil {
		return nil, nil, err
	}
	conf.Log.Level = "warn"
	local, err := app.New(app.Options{Data: g.dir(), Config: conf, Parts: parts, Version: version, Stderr: io.err})
	if err != nil {
		return nil, nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- local.Run(running) }()
	end := func() error { cancel(); return <-done }
	select {
	case <-local.Ready():
	case err := <-done:
		cancel()
		return nil, nil, err
	case <-ctx.Done():
		return nil, nil, errors.Join(ctx.Err(), end())
	}
	if c, err = control.Dial(ctx, g.dir()); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return c, func() error { return errors.Join(c.Close(), end()) }, nil
}
