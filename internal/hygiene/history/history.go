// Package history remembers who wrote before and which messages were sent
// from here. What it remembers is bounded and kept in one file; a crash
// forgets at most a minute of it. It judges nothing.
package history

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/decodersring/decoder/internal/bookmark"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
)

// Config bounds the memory. Zero fields take the defaults.
type Config struct {
	Path    string        // of the file
	Own     []string      // own domains: what comes from them was sent from here
	Senders int           // addresses and domains remembered; 200,000
	Sent    int           // messages sent from here; 100,000
	Youth   time.Duration // how long everyone is new, so nobody is called so; 14 days
	Save    time.Duration // between writes; 1 min
}

// first is the message by which an address was first seen. Seeing that message
// again, as after a retry, does not make it known.
type first struct {
	Identity string    `json:"i"`
	Time     time.Time `json:"t"`
}

// History implements hygiene.History. It may be used concurrently.
type History struct {
	config Config
	scope  obs.Scope
	mu     sync.Mutex
	seen   *lru.Cache[string, first] // "@domain" and address
	sent   *lru.Cache[string, first] // Message-ID
	began  time.Time                 // of the oldest message seen
	dirty  bool
}

// New returns an empty history; Run reads the file.
func New(c Config, scope obs.Scope) (*History, error) {
	if c.Senders <= 0 {
		c.Senders = 200_000
	}
	if c.Sent <= 0 {
		c.Sent = 100_000
	}
	if c.Youth <= 0 {
		c.Youth = 14 * 24 * time.Hour
	}
	if c.Save <= 0 {
		c.Save = time.Minute
	}
	h := &History{config: c, scope: scope}
	var err error
	if h.seen, err = lru.New[string, first](c.Senders); err != nil {
		return nil, fmt.Errorf("making the memory of senders: %w", err)
	}
	if h.sent, err = lru.New[string, first](c.Sent); err != nil {
		return nil, fmt.Errorf("making the memory of sent messages: %w", err)
	}
	return h, nil
}

// See implements hygiene.History. Time is the message's own.
func (h *History) See(doc *mail.Document) hygiene.Past {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dirty = true
	if h.began.IsZero() || doc.Timestamp.Before(h.began) {
		h.began = doc.Timestamp
	}
	f := first{doc.Mail.Identity, doc.Timestamp}
	if h.own(doc.Mail.From.Domain) {
		if id := doc.Email.MessageID; id != "" && trusted(doc) {
			h.note(h.sent, id, f)
		}
		return hygiene.Past{SenderKnown: true, DomainKnown: true}
	}
	p := hygiene.Past{
		SenderKnown:       h.note(h.seen, strings.ToLower(doc.Mail.From.Address), f),
		DomainKnown:       h.note(h.seen, "@"+doc.Mail.From.RegisteredDomain, f),
		ConversationKnown: h.answers(doc),
		Young:             doc.Timestamp.Sub(h.began) < h.config.Youth,
	}
	return p
}

// trusted reports whether a message from an own domain was sent from here and
// not by someone who wrote that domain into From: no host outside handed it
// over, or the domain's own records vouch for it.
func trusted(doc *mail.Document) bool {
	return doc.Mail.Client == nil || doc.Mail.Auth.Trusted && doc.Mail.Auth.DMARC == "pass"
}

// note reports whether the key was known by another message, and adds it.
func (h *History) note(c *lru.Cache[string, first], key string, f first) bool {
	if key == "" || key == "@" {
		return false
	}
	have, ok := c.Get(key)
	if !ok {
		c.Add(key, f)
		return false
	}
	return have.Identity != f.Identity
}

// answers reports whether the message names one that was sent from here.
func (h *History) answers(doc *mail.Document) bool {
	for _, hd := range doc.Mail.Headers {
		if !strings.EqualFold(hd.Name, "In-Reply-To") && !strings.EqualFold(hd.Name, "References") {
			continue
		}
		for i, id := range strings.Fields(hd.Value) {
			if i == 50 {
				break
			}
			if h.sent.Contains(strings.Trim(id, "<>,")) {
				return true
			}
		}
	}
	return false
}

func (h *History) own(domain string) bool {
	for _, o := range h.config.Own {
		if strings.EqualFold(domain, o) || len(domain) > len(o) && strings.EqualFold(domain[len(domain)-len(o)-1:], "."+o) {
			return true
		}
	}
	return false
}

// file is the format of the file.
type file struct {
	Version int              `json:"version"`
	Began   time.Time        `json:"began"`
	Seen    map[string]first `json:"seen"`
	Sent    map[string]first `json:"sent"`
}

const fileVersion = 1

// Run reads the file, writes it from time to time, and once more at its end.
func (h *History) Run(ctx context.Context) error {
	mark := bookmark.New(h.config.Path)
	if err := h.load(mark); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return h.save(mark)
		case <-time.After(h.config.Save):
			if err := h.save(mark); err != nil {
				h.scope.Set("mail/history", obs.Degraded, err.Error())
				h.scope.Logger().Warn("history of senders not written", "error", err)
			}
		}
	}
}

func (h *History) load(mark *bookmark.Bookmark) error {
	var f file
	if err := mark.Load(&f); err != nil {
		return fmt.Errorf("reading the history of senders: %w", err)
	}
	if f.Version > fileVersion {
		return fmt.Errorf("the history of senders is of version %d, this program reads up to %d", f.Version, fileVersion)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began.IsZero() || !f.Began.IsZero() && f.Began.Before(h.began) {
		h.began = f.Began
	}
	for k, v := range f.Seen {
		h.seen.Add(k, v)
	}
	for k, v := range f.Sent {
		h.sent.Add(k, v)
	}
	return nil
}

func (h *History) save(mark *bookmark.Bookmark) error {
	h.mu.Lock()
	if !h.dirty {
		h.mu.Unlock()
		return nil
	}
	f := file{Version: fileVersion, Began: h.began, Seen: entries(h.seen), Sent: entries(h.sent)}
	h.dirty = false
	h.mu.Unlock()
	return mark.Save(f)
}

func entries(c *lru.Cache[string, first]) map[string]first {
	out := make(map[string]first, c.Len())
	for _, k := range c.Keys() {
		if v, ok := c.Peek(k); ok {
			out[k] = v
		}
	}
	return out
}
