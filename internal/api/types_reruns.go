package api

import "time"

// RerunRequest asks for a stage to be run again over what the log holds.
type RerunRequest struct {
	Stage string   `json:"stage"`
	From  string   `json:"from,omitempty" doc:"RFC 3339, a date, or an age such as 7d; all when absent"`
	Rules []string `json:"rules,omitempty" doc:"rule files of the machine that detect goes by, instead of what the events say of their rules; only over the socket"`
	Ask   bool     `json:"ask,omitempty" doc:"a stage that calls a service may call it again"`
	Note  string   `json:"note,omitempty"`
}

// Rerun is a run of a stage over what the log holds, apart from the live one.
type Rerun struct {
	ID      string    `json:"id"`
	Stage   string    `json:"stage"`
	From    time.Time `json:"from,omitzero"`
	By      string    `json:"by,omitempty"`
	Note    string    `json:"note,omitempty"`
	Rules   []string  `json:"rules,omitempty" doc:"names of the rule files it goes by"`
	Ask     bool      `json:"ask,omitempty" doc:"services are called again"`
	Started time.Time `json:"started"`
	State   string    `json:"state" doc:"running, paused, done or cancelled"`
	Problem string    `json:"problem,omitempty" doc:"why it stands still"`
	Done    int64     `json:"done" doc:"records read"`
	Total   int64     `json:"total"`
}

// RerunKey names a rerun.
type RerunKey struct {
	ID string `json:"-" path:"id"`
}
