package batch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

type appendFunc func([]*bus.Record) error

func (f appendFunc) Append(ctx context.Context, rs ...*bus.Record) error {
	return errors.Join(f(rs), ctx.Err())
}

func batchOf(values ...string) *Batch {
	b := New(Options{Topic: "t", Key: []byte("k"), Headers: []bus.Header{{Key: event.HeaderCapture, Value: []byte("c")}}})
	for i, v := range values {
		b.Add("p", int64(10*i), []byte(v))
	}
	return b
}

func TestRecordsCarryOriginHeadersAndBytes(t *testing.T) {
	b := batchOf("a", "", "\xff\x00", strings.Repeat("x", 100_000))
	for range 2 { // the buffers are used again
		rs := b.Records()
		for i, want := range []string{"a", "", "\xff\x00", strings.Repeat("x", 100_000)} {
			r := rs[i]
			if string(r.Value) != want || bus.Value(r, event.HeaderOrigin) != fmt.Sprintf("p:%d", 10*i) ||
				bus.Value(r, event.HeaderCapture) != "c" || r.Topic != "t" || string(r.Key) != "k" {
				t.Errorf("record %d: %.100v", i, r)
			}
		}
		b.Reset()
		if b.Len() != 0 {
			t.Fatal("not empty after Reset")
		}
		b = batchOf("a", "", "\xff\x00", strings.Repeat("x", 100_000))
	}
}

func TestABatchIsFullByLinesAndByBytes(t *testing.T) {
	b := batchOf(strings.Repeat("x", maxBytes))
	if !b.Full() {
		t.Error("not full by bytes")
	}
	b.Reset()
	for range maxLines {
		if b.Full() {
			t.Fatal("full before its time")
		}
		b.Add("p", 0, []byte("x"))
	}
	if !b.Full() {
		t.Error("not full by lines")
	}
}

func TestAnOutageIsWaitedForAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var health obs.Health
		tries := 0
		began := time.Now()
		refused, err := Append(t.Context(), appendFunc(func([]*bus.Record) error {
			if tries++; tries <= 3 {
				return fault.NewThrottled("slow_down", time.Minute, errors.New("busy"))
			}
			if all := health.All(); len(all) != 1 || all[0].Level != obs.Degraded {
				t.Errorf("health during the outage: %+v", all)
			}
			return nil
		}), obs.Scope{Health: &health}, "test", batchOf("a").Records())
		if err != nil || refused != nil || time.Since(began) < 3*time.Minute {
			t.Errorf("Append: %v, %v after %s", refused, err, time.Since(began))
		}
		if all := health.All(); all[0].Level != obs.OK {
			t.Errorf("health afterwards: %+v", all)
		}
	})
}

func TestTheEndOfTheContextEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := Append(ctx, appendFunc(func([]*bus.Record) error { return errors.New("away") }), obs.Scope{}, "test", batchOf("a").Records())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOnlyTheRecordsAtFaultAreRefused(t *testing.T) {
	var taken []string
	to := appendFunc(func(rs []*bus.Record) error {
		for _, r := range rs {
			if strings.HasPrefix(string(r.Value), "bad") {
				return fault.NewPermanent("message_too_large", errors.New("too large"))
			}
		}
		for _, r := range rs {
			taken = append(taken, string(r.Value))
		}
		return nil
	})
	refused, err := Append(t.Context(), to, obs.Scope{}, "test", batchOf("a", "bad1", "b", "c", "bad2", "d", "e").Records())
	if err != nil || len(refused) != 2 || string(refused[0].Value) != "bad1" || string(refused[1].Value) != "bad2" {
		t.Errorf("refused: %v, %v", refused, err)
	}
	if got := strings.Join(taken, " "); got != "a b c d e" {
		t.Errorf("taken: %s", got)
	}
}

func TestALineTooLongIsCutAndTheNextIsWhole(t *testing.T) {
	long := bytes.Repeat([]byte("y"), MaxLine+5)
	text := append(append([]byte("a\n"), long...), "\nz\n"...)
	var got []Line
	var lines Lines
	for at := 0; at < len(text); at += 1 << 20 {
		_ = lines.Feed(text[at:min(at+1<<20, len(text))], func(l Line) error {
			l.Text = bytes.Clone(l.Text)
			got = append(got, l)
			return nil
		})
	}
	if len(got) != 3 || !got[1].Cut || string(got[2].Text) != "z" || got[2].Offset != int64(len(text)-2) {
		t.Fatalf("%d lines: %.200v", len(got), got)
	}
	var e struct {
		Type      string `json:"event_type"`
		Truncated struct {
			Bytes  int64
			SHA256 string
			Head   string
		} `json:"decoder_truncated"`
	}
	if err := json.Unmarshal(got[1].Text, &e); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(long)
	head, err := base64.StdEncoding.DecodeString(e.Truncated.Head)
	if e.Type != "decoder_truncated" || e.Truncated.Bytes != int64(len(long)) || e.Truncated.SHA256 != hex.EncodeToString(sum[:]) ||
		err != nil || !bytes.Equal(head, long[:cutHead]) {
		t.Errorf("cut line: %.300s", got[1].Text)
	}
}

// FuzzLines holds the cutting into lines against bytes.Split, whatever the
// pieces are.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\nc"), uint8(2))
	f.Add([]byte("\n\n\r\n"), uint8(1))
	f.Add([]byte("no end"), uint8(0))
	f.Fuzz(func(t *testing.T, text []byte, piece uint8) {
		var want []string
		for l := range bytes.SplitSeq(text, []byte("\n")) {
			l = bytes.TrimSuffix(l, []byte("\r"))
			if len(l) > 0 {
				want = append(want, string(l))
			}
		}
		if n := bytes.LastIndexByte(text, '\n'); n+1 < len(text) && bytes.HasSuffix(text, []byte("\r")) {
			t.Skip("a carriage return may be half of an end")
		}
		var (
			got   []string
			lines Lines
			emit  = func(l Line) error {
				if !bytes.HasPrefix(text[l.Offset:], l.Text) {
					t.Errorf("line %q is not at %d", l.Text, l.Offset)
				}
				got = append(got, string(l.Text))
				return nil
			}
		)
		step := int(piece)%7 + 1
		for at := 0; at < len(text); at += step {
			_ = lines.Feed(text[at:min(at+step, len(text))], emit)
		}
		_ = lines.Last(emit)
		if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != len(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
