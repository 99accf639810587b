package hygiene

import (
	"time"
)

// Results, as they stand in mail.verdict.result.
const (
	Clean      = "clean"
	Suspicious = "suspicious"
	Bad        = "bad"
	Unknown    = "unknown" // nothing found, but a service did not answer
)

// Finding is one check that found something. Points may be zero: context that
// is true of much good mail as well.
type Finding struct {
	Name     string `json:"name"`
	Points   int    `json:"points"`
	Evidence string `json:"evidence"`
	Version  int    `json:"version"`
	Benign   string `json:"benign"` // what would make it harmless
}

// Answer is what an outside service said, with its time, so that a rerun can
// use it again.
type Answer struct {
	Service string    `json:"service"`
	Kind    string    `json:"kind"` // ip, domain, url, sha256, email
	Value   string    `json:"value"`
	Result  string    `json:"result"` // bad, clean, unknown, error
	Score   float64   `json:"score,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Time    time.Time `json:"time"`
	Cached  bool      `json:"cached,omitempty"`
}

// Verdict is what all checks say together. An incomplete one lacks the answer
// of a service; it is never clean.
type Verdict struct {
	Result     string    `json:"result"`
	Score      int       `json:"score"` // 0 to 100
	Incomplete bool      `json:"incomplete,omitempty"`
	Revision   int       `json:"revision"`
	Checks     []Finding `json:"checks,omitempty"`
	Answers    []Answer  `json:"answers,omitempty"`
	Missing    []string  `json:"missing,omitempty"` // services without an answer
	Version    int       `json:"version"`
}

// Alarming reports whether the verdict is worth an alert.
func (v Verdict) Alarming() bool { return v.Result == Bad || v.Result == Suspicious }
