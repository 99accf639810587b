package api

import (
	"time"
)

// ReplayRequest asks for captures to be replayed. Paths are absolute, of
// files or folders, on the machine of the instance.
type ReplayRequest struct {
	Paths []string `json:"paths"`
	Rules []string `json:"rules,omitempty" doc:"absolute paths of rule files to use instead of the configured ones"`
}

// ReplayState is how far a replay, or one capture of it, has come.
type ReplayState string

// The states of a replay. Done means that the log has all events; Searchable
// that the store has them too.
const (
	ReplayQueued    ReplayState = "queued"
	ReplayRunning   ReplayState = "running"
	ReplayDone      ReplayState = "done"
	ReplayFailed    ReplayState = "failed"
	ReplayCancelled ReplayState = "cancelled"
)

// Replay is a job that replays captures.
type Replay struct {
	ID         string      `json:"id"`
	State      ReplayState `json:"state"`
	Searchable bool        `json:"searchable"`
	Submitted  time.Time   `json:"submitted"`
	Ended      time.Time   `json:"ended,omitzero"`
	Error      string      `json:"error,omitempty"`
	Captures   int         `json:"captures"`
	Done       int         `json:"done" doc:"captures that have ended, failed ones among them"`
	Failed     int         `json:"failed"`
	Bytes      int64       `json:"bytes" doc:"of all captures"`
	BytesDone  int64       `json:"bytes_done"`
	Packets    uint64      `json:"packets"`
	Rules      ReplayRules `json:"rules"`
}

// ReplayRules are the rules of a replay: what the engine made of them.
type ReplayRules struct {
	Own     bool     `json:"own" doc:"the replay brought its own"`
	Loaded  int      `json:"loaded" doc:"0 as long as no engine was needed"`
	Failed  int      `json:"failed" doc:"that the engine refused"`
	Reasons []string `json:"reasons,omitempty" doc:"of the first refused ones, with file and line"`
}

// Capture is what a replay found in one capture.
type Capture struct {
	Capture string            `json:"capture" doc:"name"`
	Path    string            `json:"path"`
	SHA256  string            `json:"sha256,omitempty" doc:"of the capture, unpacked where it is gzipped"`
	State   ReplayState       `json:"state"`
	Packets uint64            `json:"packets"`
	Events  map[string]uint64 `json:"events" doc:"by event type"`
	Alerts  map[string]uint64 `json:"alerts" doc:"by signature id"`
	Error   string            `json:"error,omitempty"`
}

// ReplayUpdate is news of a replay: its state, and the capture that has ended
// if one has.
type ReplayUpdate struct {
	Replay  Replay   `json:"replay"`
	Capture *Capture `json:"capture,omitempty"`
}

// ReplayWatch asks for the news of a replay.
type ReplayWatch struct {
	ID   string `json:"-" path:"id"`
	Wait bool   `json:"wait,omitempty" doc:"until all events are searchable"`
}

// ReplayKey names a replay.
type ReplayKey struct {
	ID string `json:"-" path:"id"`
}
