package dead_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client/dead"
)

func FuzzReadingATopicNeverFails(f *testing.F) {
	f.Add("decoder-dead", "1", "history", `[{"error":"x"}]`)
	f.Add("decoder-resend", "1", "letter", "dead_x/1/2")
	f.Add("origin_partition", "99999999999", "attempts", "-1")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		r := &bus.Record{Topic: "dead_x", Value: []byte("v"), Headers: []bus.Header{
			{Key: "own", Value: []byte("1")}, {Key: k1, Value: []byte(v1)}, {Key: k2, Value: []byte(v2)}}}
		l := dead.Read(r)
		if l.Record.Headers == nil || l.Record.Headers[0].Key != "own" && k1 != "own" {
			t.Fatalf("own headers are gone: %+v", l.Record)
		}
		dead.Addressee(r)
		dead.Unwrap(r)
	})
}

func TestALetterSurvivesTheWayThereAndBack(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for name, own := range map[string]*bus.Record{
		"full":  {Topic: "json_ingest", Partition: 3, Offset: 9, Key: []byte("k"), Value: []byte("v"), Timestamp: at, Headers: []bus.Header{{Key: "error", Value: []byte("own")}, {Key: dead.HeaderFormat, Value: []byte("own")}}},
		"empty": {Topic: "json_ingest", Timestamp: at, Headers: []bus.Header{}},
		"blank": {Topic: "json_ingest", Key: []byte{}, Value: []byte{}, Timestamp: at, Headers: []bus.Header{}},
	} {
		t.Run(name, func(t *testing.T) {
			want := dead.Letter{
				Client: "x", Record: own, Origin: "log:a-1:2",
				Failure: dead.Failure{Error: "e", Code: "c", Attempts: 2, First: at, Last: at, Version: "v1"},
				History: []dead.Failure{{Error: "before", Code: "c", Attempts: 1, First: at, Last: at}},
			}
			got := dead.Read(dead.Bury(want))
			want.At = dead.Place{Topic: "dead_x"}
			equalKeys := bytes.Equal(got.Record.Key, own.Key) && (got.Record.Key == nil) == (own.Key == nil)
			got.Record.Topic, own.Topic = "json_ingest", "json_ingest"
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b bus.Record) bool { return true })); diff != "" || !equalKeys {
				t.Errorf("letter differs: %s", diff)
			}
			back := dead.Unwrap(dead.Address(got, "someone"))
			if back.Client != "x" || back.Origin != want.Origin || len(back.History) != 2 {
				t.Errorf("unwrapped %+v", back)
			}
			if diff := cmp.Diff(headers(own), headers(back.Record)); diff != "" {
				t.Errorf("headers differ: %s", diff)
			}
			if diff := cmp.Diff([]any{own.Key, own.Value, own.Partition, own.Offset, own.Topic},
				[]any{back.Record.Key, back.Record.Value, back.Record.Partition, back.Record.Offset, back.Record.Topic}); diff != "" {
				t.Errorf("record differs: %s", diff)
			}
			if !back.Record.Timestamp.Equal(at.Truncate(time.Millisecond)) {
				t.Errorf("timestamp %s", back.Record.Timestamp)
			}
		})
	}
}

func headers(r *bus.Record) (all []string) {
	for _, h := range r.Headers {
		all = append(all, h.Key+"="+string(h.Value))
	}
	return all
}

func TestPlacesAreReadStrictly(t *testing.T) {
	for _, s := range []string{"", "dead_x/1", "events/1/2", "dead_state/0/1", "dead_x/-1/2", "dead_x/1/x", "dead_x/1/2/3"} {
		if p, err := dead.ParsePlace(s); err == nil {
			t.Errorf("%q was read as %v", s, p)
		}
	}
	if p, err := dead.ParsePlace("dead_x/1/2"); err != nil || p.String() != "dead_x/1/2" {
		t.Errorf("%v, %v", p, err)
	}
}
