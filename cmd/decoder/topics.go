package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/obs"
)

type topicsCmd struct {
	List     topicsListCmd     `cmd:"" default:"withargs" help:"List the topics."`
	Describe topicsDescribeCmd `cmd:"" help:"Show the partitions of topics: offsets, bytes, where they lie."`
}

type topicsListCmd struct {
	JSON bool `help:"One topic a line."`
}

func (c *topicsListCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	topics, err := client.Topics(ctx)
	if err != nil {
		return err
	}
	return list(io.out, c.JSON, topics, "TOPIC PARTITIONS RECORDS BYTES RETENTION", func(t bus.TopicInfo) []string {
		return []string{t.Name, number(len(t.Partitions)), number(t.Records), bytesOf(t.Bytes), retention(t.RetentionSeconds)}
	})
}

// bytesOf shows a number of bytes that may be unknown.
func bytesOf(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return config.Size(n).String()
}

type topicsDescribeCmd struct {
	Topics []string `arg:"" optional:"" help:"The topics; all when absent."`
}

func (c *topicsDescribeCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	topics, err := client.Topics(ctx)
	if err != nil {
		return err
	}
	missing := slices.Clone(c.Topics)
	var rows [][]string
	for _, t := range topics {
		if len(c.Topics) > 0 && !slices.Contains(c.Topics, t.Name) {
			continue
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == t.Name })
		for _, p := range t.Partitions {
			rows = append(rows, []string{
				t.Name, number(p.Partition), number(p.First), number(p.Next), bytesOf(p.Bytes),
				number(p.Leader), fmt.Sprintf("%d of %d", p.InSync, p.Replicas), retention(t.RetentionSeconds),
			})
		}
	}
	if len(rows) > 0 {
		if err := table(io.out, "TOPIC PARTITION FIRST NEXT BYTES LEADER IN-SYNC RETENTION", rows); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the log has no topic %s; decoder topics lists them", strings.Join(missing, ", "))
	}
	return nil
}

func retention(seconds float64) string {
	if seconds <= 0 {
		return "no limit"
	}
	return config.Duration(durationOf(seconds)).String()
}

func durationOf(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

type groupsCmd struct {
	JSON bool `help:"One group a line, with its partitions."`
}

func (c *groupsCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	groups, err := client.Groups(ctx)
	if err != nil {
		return err
	}
	err = list(io.out, c.JSON, groups, "GROUP STATE MEMBERS LAG BEHIND", func(g bus.GroupInfo) []string {
		return []string{g.Name, g.State, number(len(g.Members)), number(g.Lag), age(durationOf(g.LagSeconds))}
	})
	if err != nil || c.JSON {
		return err
	}
	return sayWaiting(ctx, client, io)
}

// sayWaiting says what the log and its clients wait for.
func sayWaiting(ctx context.Context, client *control.Client, io streams) error {
	health, err := client.Health(ctx)
	if err != nil {
		return err
	}
	for _, c := range health.Components {
		if c.Level != obs.OK && c.Message != "" && (c.Component == "broker" || strings.HasPrefix(c.Component, "client/")) {
			fmt.Fprintf(io.err, "%s: %s\n", c.Component, c.Message)
		}
	}
	return nil
}

type tailCmd struct {
	Topic     string `arg:"" help:"The topic."`
	From      string `help:"begin, end (or next: behind the last), an offset, --from=-N for the last N of each partition, or a time: RFC 3339, a date (UTC), or an age." default:"-10" placeholder:"WHERE"`
	Partition string `short:"p" help:"Only this partition." placeholder:"N"`
	Limit     int    `help:"At most so many records, 0 for all." default:"0"`
	Follow    bool   `short:"f" help:"Go on at the end of the log until interrupted."`
	JSON      bool   `help:"One record a line, with partition, offset, key and headers."`
}

func (c *tailCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	ask := api.Tail{Topic: c.Topic, From: c.From, Partition: c.Partition, Limit: c.Limit, Follow: c.Follow}
	if n, is := strings.CutPrefix(c.From, "-"); is {
		if ask.Last, err = strconv.ParseInt(n, 10, 64); err != nil || ask.Last < 1 {
			return usagef("--from %s: want begin, end, an offset, -N or a time", c.From)
		}
		ask.From = ""
	}
	err = client.Tail(ctx, ask, func(r api.Record) error {
		if c.JSON {
			return printJSON(io.out, r)
		}
		_, err := fmt.Fprintf(io.out, "%s\n", clean(string(r.Value)))
		return err
	})
	if ctx.Err() != nil && c.Follow {
		return nil // interrupted, as it is meant to end
	}
	return asUsage(err)
}
