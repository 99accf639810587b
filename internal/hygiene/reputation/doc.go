// Package reputation asks outside services what they know of addresses,
// domains, links and files. It owns the services' protocols and their traps,
// what may be sent to them, and how often. It does not judge a message.
//
// Around every provider, outermost first: one flight for each key, cache, rate
// limit and quota, breaker, one retry, a call with a timeout; all within the
// deadline of whoever asks.
package reputation

import (
	"context"
	"time"
)

// Kind is what is asked about.
type Kind string

// The kinds.
const (
	IP     Kind = "ip"
	Domain Kind = "domain"
	URL    Kind = "url"
	SHA256 Kind = "sha256"
	Email  Kind = "email"
	// Message is a whole message, by its place in the log.
	Message Kind = "message"
)

// Results of a provider. What a service does not know is unknown, never clean.
const (
	Bad     = "bad"
	Clean   = "clean"
	Unknown = "unknown"
	Failed  = "error"
)

// Result is what a provider says of one value.
type Result struct {
	Verdict string  // Bad, Clean or Unknown
	Score   float64 // confidence of Bad, 1 to 100; 0 is as good as 100
	Detail  string
	TTL     time.Duration // how long it holds, if the service says so
}

// Provider asks one service. Ask may be called concurrently, returns within
// the context, and its errors are classed (package fault): throttled with the
// time to wait, permanent when no further call will do better (a refused key),
// else retry. No error carries a secret.
type Provider interface {
	Name() string
	Kinds() []Kind
	Ask(ctx context.Context, k Kind, value string) (Result, error)
}

// Limits are how a provider may be used. Zero fields take the defaults.
type Limits struct {
	Timeout  time.Duration // of one call; 2 s
	Rate     float64       // calls a second; 10
	Burst    int           // 20
	Quota    int           // calls a day (UTC); 0 sets none
	Cache    int           // answers kept; 100,000
	BadTTL   time.Duration // 12 h
	CleanTTL time.Duration // 3 h
	UnkTTL   time.Duration // 30 min
	ErrTTL   time.Duration // 30 s
}

func (l Limits) withDefaults() Limits {
	set(&l.Timeout, 2*time.Second)
	set(&l.Rate, 10)
	set(&l.Burst, 20)
	set(&l.Cache, 100_000)
	set(&l.BadTTL, 12*time.Hour)
	set(&l.CleanTTL, 3*time.Hour)
	set(&l.UnkTTL, 30*time.Minute)
	set(&l.ErrTTL, 30*time.Second)
	return l
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
