package main

import (
	"context"
	"fmt"

	"github.com/decodersring/decoder/internal/api"
)

type rulesCmd struct {
	Update  rulesUpdateCmd `cmd:"" help:"Fetch, test and load the rules."`
	List    rulesListCmd   `cmd:"" help:"List rules."`
	Enable  rulesChangeCmd `cmd:"" help:"Enable rules."`
	Disable rulesChangeCmd `cmd:"" help:"Disable rules."`
}

type rulesUpdateCmd struct {
	JSON bool `help:"The result as one object."`
}

func (c *rulesUpdateCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	u, err := client.UpdateRules(ctx, func(line string) { fmt.Fprintln(io.err, clean(line)) })
	if err != nil {
		return err
	}
	return printRuleUpdate(io, u, c.JSON)
}

func printRuleUpdate(io streams, u api.RuleUpdate, asJSON bool) error {
	if asJSON {
		return printJSON(io.out, u)
	}
	fmt.Fprintf(io.out, "%d rules, %d enabled; %d added, %d removed, %d modified\n", u.Total, u.Enabled, u.Added, u.Removed, u.Modified)
	if u.Warning != "" {
		fmt.Fprintf(io.err, "%s\n", clean(u.Warning))
	}
	return nil
}

type rulesListCmd struct {
	Text     string `arg:"" optional:"" help:"Part of the message, or a signature id."`
	Enabled  bool   `help:"Only enabled ones." xor:"state"`
	Disabled bool   `help:"Only disabled ones." xor:"state"`
	Limit    int    `help:"At most so many, 0 for all." default:"100"`
	JSON     bool   `help:"One rule a line."`
}

// allRules is the largest limit the API takes, twice as much as anybody has.
const allRules = 100_000

func (c *rulesListCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	f := api.RuleFilter{Text: c.Text, Limit: c.Limit}
	if c.Limit == 0 {
		f.Limit = allRules
	}
	if c.Enabled {
		f.Enabled = "yes"
	} else if c.Disabled {
		f.Enabled = "no"
	}
	l, err := client.Rules(ctx, f)
	if err != nil {
		return asUsage(err)
	}
	err = list(io.out, c.JSON, l.Rules, "RULE STATE SEVERITY CLASS MESSAGE", func(r api.Rule) []string {
		state := "enabled"
		if !r.Enabled {
			state = "disabled"
		}
		return []string{r.ID, state, r.Severity, r.Class, r.Message}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(io.err, "%d of %d that match; %d enabled, %d loaded by the sensor, %d refused\n", len(l.Rules), l.Total, l.Enabled, l.Loaded, l.Failed)
	return nil
}

type rulesChangeCmd struct {
	Rules []string `arg:"" name:"rule" help:"Signature ids. Patterns belong into enable.conf and disable.conf of the rules' folder."`
	JSON  bool     `help:"The result as one object."`
}

func (c *rulesChangeCmd) Run(ctx context.Context, g *globals, io streams, command commandName) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	u, err := client.ChangeRules(ctx, api.RuleChange{Enable: command.last() == "enable", Rules: c.Rules})
	if err != nil {
		return asUsage(err)
	}
	return printRuleUpdate(io, u, c.JSON)
}
