package replay

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
)

// Request says what to replay. Paths are absolute: a file is taken as a
// capture whatever its name, a folder stands for the captures in and below it.
type Request struct {
	Paths []string `json:"paths"`
	Rules []string `json:"rules,omitempty"` // rule files, gzipped or not; none: the configured rules
}

// State is how far a job or a capture is.
type State string

// The states of a job, and of a capture.
const (
	Queued  State = "queued"
	Running State = "running" // the engine reads it, or its events go to the log
	Done    State = "done"
)

// Job is a replay and what became of it.
type Job struct {
	ID       string    `json:"id"`
	Created  time.Time `json:"created"`
	Finished time.Time `json:"finished,omitzero"`
	State    State     `json:"state"`
	Error    string    `json:"error,omitempty"` // why nothing could be replayed
	Captures []Capture `json:"captures"`
	Rules    Rules     `json:"rules"`
	// Ends is, for each partition of the ingest topic, the offset behind the
	// job's last record there: who waits for a consumer waits for that.
	Ends map[int32]int64 `json:"ends,omitempty"`
}

// Rules are those of a job.
type Rules struct {
	Own   bool     `json:"own"`             // the job brought its rules
	Files []string `json:"files,omitempty"` // the job's own, as they were named
	Loading
}

// Loading is what the engine made of rules; zero when no engine was asked.
type Loading struct {
	Loaded  int      `json:"loaded"`
	Failed  int      `json:"failed"`
	Reasons []string `json:"reasons,omitempty"` // of the first that failed: "own.rules:3: unknown rule keyword 'contents'"
}

func (l Loading) known() bool { return l.Loaded+l.Failed > 0 }

// Capture is one capture of a job and its result. A capture that is done and
// has an Error was not or not wholly read; its events, if any, are in the log.
type Capture struct {
	Name    string         `json:"capture"` // relative to the folder that was asked for, else the file's name
	Path    string         `json:"path"`
	State   State          `json:"state"`
	Error   string         `json:"error,omitempty"`
	SHA256  string         `json:"sha256,omitempty"` // of what is in it, unpacked where it is gzipped
	Size    int64          `json:"size"`
	Packets int64          `json:"packets"` // that the engine read
	Events  map[string]int `json:"events"`  // by event_type, without stats
	Alerts  map[string]int `json:"alerts"`  // by signature id
}

// Failed is the number of captures that were not or not wholly read.
func (j *Job) Failed() int {
	n := 0
	for i := range j.Captures {
		if j.Captures[i].Error != "" {
			n++
		}
	}
	return n
}

// Remaining is the number of captures not done.
func (j *Job) Remaining() int {
	n := 0
	for i := range j.Captures {
		if j.Captures[i].State != Done {
			n++
		}
	}
	return n
}

func (j *Job) clone() Job {
	c := *j
	c.Captures = slices.Clone(j.Captures)
	c.Ends = maps.Clone(j.Ends)
	return c
}

// jobVersion is the version of job.json's format.
const jobVersion = 1

type jobFile struct {
	Version int `json:"version"`
	Job
}

func newID(now time.Time) string {
	return now.UTC().Format("20060102-150405") + "-" + rand.Text()[:8]
}

func writeJob(dir string, j Job) error {
	return atomicfile.WriteJSON(filepath.Join(dir, "job.json"), jobFile{Version: jobVersion, Job: j})
}

func readJob(dir string) (Job, error) {
	var f jobFile
	path := filepath.Join(dir, "job.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return Job{}, fmt.Errorf("reading a replay job: %w", err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return Job{}, fmt.Errorf("reading a replay job %s: %w", path, err)
	}
	if f.Version > jobVersion {
		return Job{}, fmt.Errorf("reading a replay job %s: it is of version %d, written by a newer program; this one knows %d", path, f.Version, jobVersion)
	}
	return f.Job, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
