package history

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
)

var day = time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)

func letter(from string, after time.Duration, extra string) *mail.Document {
	return mail.Decode(fmt.Appendf(nil, "From: %s\nMessage-ID: <%s%d@x>\n%s\nbody", from, from, after, extra), mail.Delivery{}, mail.Options{Default: day.Add(after)})
}

func TestWhoWroteBeforeIsKnownAndARetryMakesNobodyKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.json")
	c := Config{Path: path, Own: []string{"mine.example"}}
	h, err := New(c, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	month := 30 * 24 * time.Hour
	check := func(h *History, doc *mail.Document, want hygiene.Past) {
		t.Helper()
		if got := h.See(doc); got != want {
			t.Errorf("%s at %s: %+v, want %+v", doc.Mail.From.Address, doc.Timestamp, got, want)
		}
	}
	check(h, letter("a@known.example", 0, ""), hygiene.Past{Young: true})
	check(h, letter("a@known.example", month, ""), hygiene.Past{SenderKnown: true, DomainKnown: true})
	check(h, letter("b@known.example", month, ""), hygiene.Past{DomainKnown: true})
	check(h, letter("x@new.example", month, ""), hygiene.Past{})
	check(h, letter("x@new.example", month, ""), hygiene.Past{}) // the same message again
	check(h, letter("x@new.example", 2*month, ""), hygiene.Past{SenderKnown: true, DomainKnown: true})
	check(h, letter("me@mine.example", month, ""), hygiene.Past{SenderKnown: true, DomainKnown: true})
	sent := fmt.Sprintf("In-Reply-To: <me@mine.example%d@x>\n", month)
	check(h, letter("y@other.example", month, sent), hygiene.Past{ConversationKnown: true})

	forged := "Received: from a (a.example [203.0.113.9]) by mx; Tue, 3 Mar 2026 09:15:02 +0000\n"
	h.See(letter("boss@mine.example", month+1, forged))
	check(h, letter("z@third.example", month, fmt.Sprintf("In-Reply-To: <boss@mine.example%d@x>\n", month+1)), hygiene.Past{})

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Fatal(err)
	}
	again, err := New(c, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(ctx); err != nil {
		t.Fatal(err)
	}
	check(again, letter("a@known.example", 3*month, ""), hygiene.Past{SenderKnown: true, DomainKnown: true})
	check(again, letter("y@other.example", 3*month, sent), hygiene.Past{SenderKnown: true, DomainKnown: true, ConversationKnown: true})
}
