package machine

import (
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/client"
)

// level is how bad a condition is.
type level int

const (
	fine level = iota
	low
	medium
	high
	critical
)

var names = map[level]string{low: "low", medium: "medium", high: "high", critical: "critical"}

func (l level) score() int { return map[level]int{low: 20, medium: 45, high: 70, critical: 95}[l] }

// condition is one thing that may be wrong, and how much it is now.
type condition struct {
	what     string // in the alert's group; of a bounded set
	level    level
	title    string
	evidence string
	benign   string // what would make it harmless
}

func diskCondition(dir string, s sample, left int64, full time.Duration, reserve int64) condition {
	c := condition{what: "disk", benign: "The disk is filled on purpose and will be cleared in time."}
	c.evidence = fmt.Sprintf("%s free of %s on the disk of %s", size(s.diskFree), size(s.diskTotal), dir)
	switch {
	case left == 0:
		c.level, c.title = critical, "The disk is full: nothing more is taken in"
		c.evidence += fmt.Sprintf("; intake goes on by itself when %s are free (disk.free): remove something", size(reserve+reserve/8))
	case full < time.Hour:
		c.level, c.title = critical, "The disk is full within an hour at the present rate"
	case full < 6*time.Hour:
		c.level, c.title = high, fmt.Sprintf("The disk is full in %d hours at the present rate", int(full.Hours())+1)
	case full < 24*time.Hour:
		c.level, c.title = medium, fmt.Sprintf("The disk is full in %d hours at the present rate", int(full.Hours())+1)
	case s.diskFree < s.diskTotal/50:
		c.level, c.title = medium, "Less than 2 % of the disk are free"
	}
	if full != never && full > 0 {
		c.evidence += fmt.Sprintf("; full in %s at the rate of the past hour", full.Round(time.Minute))
	}
	return c
}

// intakeCondition judges that the log has taken nothing new in for so long.
func intakeCondition(why error, lasted time.Duration) condition {
	c := condition{what: "intake", benign: "A replay or a burst is worked off, and intake goes on by itself."}
	if why == nil || lasted < time.Minute {
		return c
	}
	c.level, c.title = high, "The log takes nothing new in"
	c.evidence = fmt.Sprintf("%v; raise disk.budget, or see in decoder groups why it is not read", why)
	return c
}

func memoryCondition(s sample) condition {
	c := condition{what: "memory", benign: "Another program needs the memory for a short while."}
	c.evidence = fmt.Sprintf("%s available of %s", size(s.memoryAvailable), size(s.memoryTotal))
	switch {
	case s.memoryAvailable < s.memoryTotal/50:
		c.level, c.title = critical, "Less than 2 % of the memory are available"
	case s.memoryAvailable < s.memoryTotal/20:
		c.level, c.title = high, "Less than 5 % of the memory are available"
	}
	return c
}

func cpuCondition(busy float64) condition {
	c := condition{what: "cpu", benign: "A replay or a rerun works as fast as it can, and the lag shrinks afterwards."}
	c.evidence = fmt.Sprintf("%.0f %% of all CPUs' time used, mean of about five minutes", 100*busy)
	if busy > 0.95 {
		c.level, c.title = medium, "All CPUs are busy for minutes: what comes in may be handled late"
	}
	return c
}

// deadCondition warns before a disk budget takes dead letters, the last it
// takes.
func deadCondition(taken, budget int64) condition {
	c := condition{what: "dead-letters", benign: "They are not wanted: discard them and let the budget have them."}
	c.evidence = fmt.Sprintf("%s of the log's %s", size(taken), size(budget))
	switch {
	case budget <= 0:
	case taken > budget/10*8:
		c.level, c.title = high, "Dead letters fill the log's disk budget: the oldest are about to go"
	case taken > budget/2:
		c.level, c.title = medium, "Dead letters take more than half of the log's disk budget"
	}
	return c
}

// clientCondition judges a client that has stood still beyond the patience.
func clientCondition(s client.Status, now time.Time, patience time.Duration) condition {
	c := condition{what: "client/" + s.Client, evidence: s.Reason}
	c.benign = "The other side is down for maintenance; the client goes on where it was."
	if s.Since.IsZero() || now.Sub(s.Since) < patience {
		return c
	}
	switch s.Kind {
	case client.PhaseStuck:
		c.level, c.title = high, s.Client+" hangs in a call that does not return"
		c.benign = "The call is known to take so long."
	case client.PhaseOutage:
		c.level, c.title = medium, s.Client+" is paused: its other side does not answer"
	case client.PhaseFlush:
		c.level, c.title = medium, s.Client+" is paused: its other side takes nothing"
	case client.PhaseLog:
		c.level, c.title = high, s.Client+" waits for the log"
	}
	if c.level != fine && s.Lag > 0 {
		c.evidence = fmt.Sprintf("%s; %d records behind", s.Reason, s.Lag)
	}
	return c
}

func size(bytes int64) string {
	const units = "KMGTPE"
	if bytes < 1<<10 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes)/(1<<10), 0
	for value >= 1<<10 && unit < len(units)-1 {
		value, unit = value/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
