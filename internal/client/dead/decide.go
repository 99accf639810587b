package dead

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
)

// Resend sends letters back to their clients, and notes by whom. A letter that
// fails again comes back with its history. After an error some may have been
// sent; sending them again is harmless, since their ids stay.
func (l *Letters) Resend(ctx context.Context, by, note string, letters ...Letter) error {
	for _, letter := range letters {
		if letter.Origin == "" {
			return fmt.Errorf("the record at %s is no client's dead letter, so it cannot go back", letter.At)
		}
		if err := l.bus.Append(ctx, Address(letter, by)); err != nil {
			return fmt.Errorf("resending %s: %w", letter.At, err)
		}
		if err := l.decide(ctx, letter.At, Decision{State: Resent, By: by, Note: note}); err != nil {
			return err
		}
	}
	return nil
}

// Discard notes that letters are not wanted any more. They stay where they
// are, and can still be resent.
func (l *Letters) Discard(ctx context.Context, by, note string, letters ...Letter) error {
	for _, letter := range letters {
		if err := l.decide(ctx, letter.At, Decision{State: Discarded, By: by, Note: note}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Letters) decide(ctx context.Context, at Place, d Decision) error {
	d.At = time.Now().UTC()
	value, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("noting the decision over %s: %w", at, err)
	}
	if err := l.bus.Append(ctx, &bus.Record{Topic: bus.TopicDeadState, Key: []byte(at.String()), Value: value}); err != nil {
		return fmt.Errorf("noting the decision over %s: %w", at, err)
	}
	return nil
}

// ResendAll resends the letters chosen, and returns how many.
func (l *Letters) ResendAll(ctx context.Context, f Filter, by, note string) (int, error) {
	return l.forAll(ctx, f, func(letter Letter) error { return l.Resend(ctx, by, note, letter) })
}

// DiscardAll discards the letters chosen, and returns how many.
func (l *Letters) DiscardAll(ctx context.Context, f Filter, by, note string) (int, error) {
	return l.forAll(ctx, f, func(letter Letter) error { return l.Discard(ctx, by, note, letter) })
}

func (l *Letters) forAll(ctx context.Context, f Filter, do func(Letter) error) (int, error) {
	n := 0
	var failed error
	err := l.Each(ctx, f, func(e Entry) bool {
		if failed = do(e.Letter); failed == nil {
			n++
		}
		return failed == nil
	})
	if failed != nil {
		return n, failed
	}
	return n, err
}

// Edited returns the letter with another value, to be resent. Its record is
// another than the original, so what is made of it gets ids of its own, and it
// names the origin it had before.
func Edited(l Letter, value []byte) Letter {
	if bytes.Equal(l.Record.Value, value) {
		return l
	}
	before := l.Origin
	sum := sha256.Sum256(value)
	own := *l.Record
	own.Value = value
	l.Record = &own
	l.EditedFrom = before
	l.Origin = "edit:" + hex.EncodeToString(sum[:8]) + ":" + before
	headers := make([]bus.Header, 0, len(own.Headers)+1)
	for _, h := range own.Headers {
		if h.Key != event.HeaderOrigin {
			headers = append(headers, h)
		}
	}
	own.Headers = append(headers, bus.Header{Key: event.HeaderOrigin, Value: []byte(l.Origin)})
	return l
}
