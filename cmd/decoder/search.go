package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/app"
)

type searchCmd struct {
	Query []string `arg:"" optional:"" help:"Words, \"phrases\", field:value, field:>10, wildcards, networks, AND OR NOT ( )."`
	From  string   `help:"Events at or after: RFC 3339, a date (UTC), or an age such as 24h or 7d." placeholder:"TIME"`
	To    string   `help:"Events before." placeholder:"TIME"`
	Limit int      `help:"At most so many events, 0 for all." default:"100"`
	JSON  bool     `help:"One ECS document a line." xor:"form"`
	Count bool     `help:"Only the number of events." xor:"form"`
}

func (c *searchCmd) Run(ctx context.Context, g *globals, io streams) (err error) {
	if c.Limit < 0 {
		return usagef("--limit is 0 (all) or more")
	}
	if _, err := os.Stat(g.dir()); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no data folder %s, so nothing to search; decoder up and decoder replay make one", g.dir())
	}
	client, stop, err := g.instanceOr(ctx, app.SearchParts, io)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	query, span := strings.Join(c.Query, " "), api.Range{From: c.From, To: c.To}
	if c.Count {
		n, err := client.Count(ctx, api.Question{Q: query, Range: span})
		if err != nil {
			return queryError(query, err)
		}
		fmt.Fprintln(io.out, n)
		return nil
	}
	print := printEvent
	if c.JSON {
		print = printLine
	}
	err = client.SearchStream(ctx, api.Search{Q: query, Range: span, Limit: c.Limit}, func(doc json.RawMessage) error {
		return print(io.out, doc)
	})
	return queryError(query, err)
}

// queryError points at the column of a query that is wrong.
func queryError(query string, err error) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code != "bad_query" {
		if ok && e.Code == "bad_request" {
			return usageError{err}
		}
		return err
	}
	return usagef("%s\n  %s\n  %s^", e.Message, clean(query), strings.Repeat(" ", max(e.Column-1, 0)))
}
