package storage

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
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

// Names of topic configurations, as Kafka calls them, and one of our own.
const (
	ConfigRetentionMs     = "retention.ms"
	ConfigRetentionBytes  = "retention.bytes"
	ConfigSegmentBytes    = "segment.bytes"
	ConfigSegmentMs       = "segment.ms"
	ConfigCleanupPolicy   = "cleanup.policy"
	ConfigMaxMessageBytes = "max.message.bytes"
	ConfigTimestampType   = "message.timestamp.type"
	ConfigTimestampBefore = "message.timestamp.before.max.ms"
	ConfigTimestampAfter  = "message.timestamp.after.max.ms"
	ConfigDeleteRetention = "delete.retention.ms"
	ConfigCompression     = "compression.type"
	ConfigMinISR          = "min.insync.replicas"
	ConfigBudget          = "decoder.budget"
)

// Config is a topic's configuration, parsed. It is not changed once made.
type Config struct {
	Retention       time.Duration // negative: for ever
	RetentionBytes  int64         // of one partition; negative: no limit
	SegmentBytes    int64
	SegmentAge      time.Duration
	Delete, Compact bool
	MaxMessageBytes int
	AppendTime      bool
	TimestampBefore time.Duration // 0: any
	TimestampAfter  time.Duration // 0: any
	DeleteRetention time.Duration // how long a tombstone stays
	Budget          Budget
	set             map[string]string // as given
}

// option is one configuration: its default as text, and how to apply a value.
type option struct {
	name  string
	def   string
	apply func(*Config, string) error
}

const (
	maxMessage  = 256 << 20
	maxSegment  = 1 << 30
	anyMs       = math.MaxInt64
	minSegment  = 16 << 10
	noTimeLimit = "9223372036854775807"
)

func options() []option {
	return []option{
		{ConfigRetentionMs, "604800000", func(c *Config, v string) error { return setMs(&c.Retention, v, -1) }},
		{ConfigRetentionBytes, "-1", func(c *Config, v string) error { return setInt(&c.RetentionBytes, v, -1, math.MaxInt64) }},
		{ConfigSegmentBytes, "33554432", func(c *Config, v string) error { return setInt(&c.SegmentBytes, v, minSegment, maxSegment) }},
		{ConfigSegmentMs, "604800000", func(c *Config, v string) error { return setMs(&c.SegmentAge, v, 1) }},
		{ConfigCleanupPolicy, "delete", setPolicy},
		{ConfigMaxMessageBytes, "1048588", func(c *Config, v string) error {
			n := int64(0)
			err := setInt(&n, v, 0, maxMessage)
			c.MaxMessageBytes = int(n)
			return err
		}},
		{ConfigTimestampType, "CreateTime", func(c *Config, v string) error {
			c.AppendTime = v == "LogAppendTime"
			return oneOf(v, "CreateTime", "LogAppendTime")
		}},
		{ConfigTimestampBefore, noTimeLimit, func(c *Config, v string) error { return setLimit(&c.TimestampBefore, v) }},
		{ConfigTimestampAfter, "3600000", func(c *Config, v string) error { return setLimit(&c.TimestampAfter, v) }},
		{ConfigDeleteRetention, "86400000", func(c *Config, v string) error { return setMs(&c.DeleteRetention, v, 0) }},
		{ConfigCompression, "producer", func(_ *Config, v string) error { return oneOf(v, "producer") }},
		{ConfigMinISR, "1", func(_ *Config, v string) error { return oneOf(v, "1") }},
		{ConfigBudget, string(BudgetNormal), func(c *Config, v string) error {
			c.Budget = Budget(v)
			return oneOf(v, string(BudgetNormal), string(BudgetDerived), string(BudgetLast), string(BudgetExempt))
		}},
	}
}

// ParseConfig makes a configuration of what was set, the rest default. The
// error is an [ErrInvalidConfig] that names what is wrong.
func ParseConfig(set map[string]string) (*Config, error) {
	c := &Config{set: maps.Clone(set)}
	known := map[string]bool{}
	for _, o := range options() {
		known[o.name] = true
		v, ok := set[o.name]
		if !ok {
			v = o.def
		}
		if err := o.apply(c, v); err != nil {
			return nil, fmt.Errorf("%w: %s=%q: %w", ErrInvalidConfig, o.name, v, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !known[name] {
			return nil, fmt.Errorf("%w: %q is not known here", ErrInvalidConfig, name)
		}
	}
	return c, nil
}

// Set returns what was set, not the defaults. The caller owns it.
func (c *Config) Set() map[string]string { return maps.Clone(c.set) }

// ConfigEntry is one configuration as it stands.
type ConfigEntry struct {
	Name, Value, Default string
	IsSet                bool
}

// Entries returns every configuration by name.
func (c *Config) Entries() []ConfigEntry {
	var out []ConfigEntry
	for _, o := range options() {
		e := ConfigEntry{Name: o.name, Value: o.def, Default: o.def}
		if v, ok := c.set[o.name]; ok {
			e.Value, e.IsSet = v, true
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b ConfigEntry) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (c *Config) rules() batchRules {
	return batchRules{
		maxBytes: c.MaxMessageBytes, needKeys: c.Compact, appendTime: c.AppendTime,
		beforeMax: c.TimestampBefore, afterMax: c.TimestampAfter,
	}
}

func setInt(dst *int64, v string, lo, hi int64) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return errors.New("not a whole number")
	}
	if n < lo || n > hi {
		return fmt.Errorf("not between %d and %d", lo, hi)
	}
	*dst = n
	return nil
}

// setMs reads milliseconds; what does not fit a duration (292 years) is the
// longest there is.
func setMs(dst *time.Duration, v string, lo int64) error {
	var n int64
	if err := setInt(&n, v, lo, anyMs); err != nil {
		return err
	}
	if n > int64(math.MaxInt64/time.Millisecond) {
		n = int64(math.MaxInt64 / time.Millisecond)
	}
	*dst = time.Duration(n) * time.Millisecond
	return nil
}

// setLimit is setMs for a limit that the largest number switches off.
func setLimit(dst *time.Duration, v string) error {
	if v == noTimeLimit {
		*dst = 0
		return nil
	}
	return setMs(dst, v, 1)
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
