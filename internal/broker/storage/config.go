package storage

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Budget says what the budget over all topics may take from a topic, and
// whether the topic is appended to while the log takes nothing new in.
type Budget string

// Values of the topic configuration decoder.budget.
const (
	BudgetNormal  Budget = "normal"  // taken oldest first, with all others; intake
	BudgetDerived Budget = "derived" // taken as normal; made from what was taken in, so it goes on
	BudgetLast    Budget = "last"    // taken only when nothing else is left; goes on
	BudgetExempt  Budget = "exempt"  // never taken; goes on
)

// Names of topic configurations that other code sets.
const (
	ConfigSegmentBytes    = "segment.bytes"
	ConfigCleanupPolicy   = "cleanup.policy"
	ConfigMaxMessageBytes = "max.message.bytes"
	ConfigBudget          = "decoder.budget"
)

// Config is a topic's configuration, parsed. It is not changed once made.
// Times are in milliseconds, as timestamps are. The largest number is no limit.
type Config struct {
	RetentionMs       int64
	RetentionBytes    int64 // of one partition
	SegmentBytes      int64
	SegmentMs         int64
	Delete, Compact   bool
	MaxMessageBytes   int
	AppendTime        bool
	TimestampBeforeMs int64
	TimestampAfterMs  int64
	DeleteRetentionMs int64 // how long a tombstone stays
	Budget            Budget
	set               map[string]string // as given
}

// option is one configuration: its default as text, and how to apply a value.
type option struct {
	name  string
	def   string
	apply func(*Config, string) error
}

const (
	maxMessage = 256 << 20
	maxSegment = 1 << 30
	minSegment = 16 << 10
)

// options are all there are, by name, as Kafka calls them, and one of our own.
func options() []option {
	return []option{
		{ConfigCleanupPolicy, "delete", setPolicy},
		{"compression.type", "producer", func(_ *Config, v string) error { return oneOf(v, "producer") }},
		{ConfigBudget, string(BudgetNormal), func(c *Config, v string) error {
			c.Budget = Budget(v)
			return oneOf(v, string(BudgetNormal), string(BudgetDerived), string(BudgetLast), string(BudgetExempt))
		}},
		{"delete.retention.ms", "86400000", func(c *Config, v string) error { return setInt(&c.DeleteRetentionMs, v, 0, math.MaxInt64) }},
		{ConfigMaxMessageBytes, "1048588", func(c *Config, v string) error { return setInt(&c.MaxMessageBytes, v, 0, maxMessage) }},
		{"message.timestamp.after.max.ms", "3600000", func(c *Config, v string) error { return setInt(&c.TimestampAfterMs, v, 1, math.MaxInt64) }},
		{"message.timestamp.before.max.ms", "9223372036854775807", func(c *Config, v string) error { return setInt(&c.TimestampBeforeMs, v, 1, math.MaxInt64) }},
		{"message.timestamp.type", "CreateTime", func(c *Config, v string) error {
			c.AppendTime = v == "LogAppendTime"
			return oneOf(v, "CreateTime", "LogAppendTime")
		}},
		{"min.insync.replicas", "1", func(_ *Config, v string) error { return oneOf(v, "1") }},
		{"retention.bytes", "-1", func(c *Config, v string) error { return setInt(&c.RetentionBytes, v, -1, math.MaxInt64) }},
		{"retention.ms", "604800000", func(c *Config, v string) error { return setInt(&c.RetentionMs, v, -1, math.MaxInt64) }},
		{ConfigSegmentBytes, "33554432", func(c *Config, v string) error { return setInt(&c.SegmentBytes, v, minSegment, maxSegment) }},
		{"segment.ms", "604800000", func(c *Config, v string) error { return setInt(&c.SegmentMs, v, 1, math.MaxInt64) }},
	}
}

// ParseConfig makes a configuration of what was set, the rest default. The
// error is an [ErrInvalidConfig] that names what is wrong.
func ParseConfig(set map[string]string) (*Config, error) {
	c := &Config{set: maps.Collect(maps.All(set))}
	unknown := maps.Clone(set)
	for _, o := range options() {
		delete(unknown, o.name)
		v, ok := set[o.name]
		if !ok {
			v = o.def
		}
		if err := o.apply(c, v); err != nil {
			return nil, fmt.Errorf("%w: %s=%q: %w", ErrInvalidConfig, o.name, v, err)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%w: not known here: %q", ErrInvalidConfig, slices.Sorted(maps.Keys(unknown)))
	}
	if !c.Delete || c.RetentionMs < 0 {
		c.RetentionMs = math.MaxInt64
	}
	if !c.Delete || c.RetentionBytes < 0 {
		c.RetentionBytes = math.MaxInt64
	}
	return c, nil
}

// Set returns what was set, not the defaults. The caller owns it.
func (c *Config) Set() map[string]string { return maps.Clone(c.set) }

// ConfigEntry is one configuration as it stands.
type ConfigEntry struct {
	Name, Value string
	IsSet       bool
}

// Entries returns every configuration by name.
func (c *Config) Entries() []ConfigEntry {
	var out []ConfigEntry
	for _, o := range options() {
		e := ConfigEntry{Name: o.name, Value: o.def}
		if v, ok := c.set[o.name]; ok {
			e.Value, e.IsSet = v, true
		}
		out = append(out, e)
	}
	return out
}

func setInt[T int | int64](dst *T, v string, lo, hi T) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return errors.New("not a whole number")
	}
	if n < int64(lo) || n > int64(hi) {
		return fmt.Errorf("not between %d and %d", lo, hi)
	}
	*dst = T(n)
	return nil
}

func setPolicy(c *Config, v string) error {
	c.Delete, c.Compact = false, false
	for part := range strings.SplitSeq(v, ",") {
		switch strings.TrimSpace(part) {
		case "delete":
			c.Delete = true
		case "compact":
			c.Compact = true
		default:
			return errors.New("not of delete, compact")
		}
	}
	return nil
}

func oneOf(v string, allowed ...string) error {
	if !slices.Contains(allowed, v) {
		return fmt.Errorf("not of %s", strings.Join(allowed, ", "))
	}
	return nil
}
