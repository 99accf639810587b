package vlogs

import (
	"errors"
	"runtime"
	"time"
)

// Config is set by users. The zero value of a limit is its default, a negative
// one is none.
type Config struct {
	// Dir is the store's folder; it is made when it is missing.
	Dir string
	// LiveAge and LiveBytes bound the live events; 30 days, no limit in bytes.
	// Over the limit in bytes whole days go, the oldest first; the oldest part of
	// a day where it is the last there is, or today.
	LiveAge   time.Duration
	LiveBytes int64
	// CaptureAge, since their last import, and CaptureBytes bound what was
	// replayed; no limits.
	CaptureAge   time.Duration
	CaptureBytes int64
	// RerunAge, since they were last written to, and RerunBytes bound the days
	// of what reruns made; no limits.
	RerunAge   time.Duration
	RerunBytes int64
	// MinFreeBytes is the free disk below which nothing is taken, and what is
	// in memory is written at once; 1 GiB.
	MinFreeBytes int64
	// Memory bounds the library's caches and the state of queries; 64 MiB. The
	// process's memory limit (debug.SetMemoryLimit) should be three times as
	// much or more: at twice as much a quarter of the processor time of full
	// ingest goes to the collector.
	Memory int64
	// QueryTime bounds a query; 30 s.
	QueryTime time.Duration
	// Queries is how many run at a time; the number of processors.
	Queries int
}

func orDefault[T int64 | int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("the store has no folder")
	}
	c.LiveAge = orDefault(c.LiveAge, 30*24*time.Hour)
	if c.LiveAge < 0 {
		c.LiveAge = unlimitedAge
	}
	if c.LiveAge < 24*time.Hour {
		return c, errors.New("live events are kept for a day at least")
	}
	c.MinFreeBytes = max(0, orDefault(c.MinFreeBytes, 1<<30))
	c.Memory = max(16<<20, orDefault(c.Memory, 64<<20))
	c.QueryTime = orDefault(c.QueryTime, 30*time.Second)
	c.Queries = max(1, orDefault(c.Queries, runtime.GOMAXPROCS(0)))
	return c, nil
}

// unlimitedAge reaches back before 1970, where the library's time begins.
const unlimitedAge = 200 * 365 * 24 * time.Hour
