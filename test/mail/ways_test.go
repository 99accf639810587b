package mail_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/obs"
)

// appended counts the messages on email_ingest by the way they came: the milter
// knows the queue id or the client, LMTP the recipients alone, IMAP neither.
func appended(t *testing.T, dir string) map[string]int {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir + "/log"}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ways := map[string]map[string]bool{"milter": {}, "lmtp": {}, "imap": {}}
	bounds, err := b.Bounds(t.Context(), bus.TopicEmail)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Scan(context.WithoutCancel(t.Context()), bus.TopicEmail, bounds, func(r *bus.Record) bool {
		var d mail.Delivery
		if json.Unmarshal([]byte(bus.Value(r, mail.HeaderDelivery)), &d) != nil {
			t.Error("a record without its delivery")
		}
		switch {
		case d.ClientIP.IsValid():
			ways["milter"][string(r.Key)] = true
		case len(d.To) > 0:
			ways["lmtp"][string(r.Key)] = true
		default:
			ways["imap"][string(r.Key)] = true
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for way, messages := range ways {
		counts[way] = len(messages)
	}
	return counts
}
