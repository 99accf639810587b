package api

import (
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"":                               {},
		"now":                            now,
		"2026-01-02":                     time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02T03:04:05.123456789Z": time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC),
		"2026-01-02T03:04:05+02:00":      time.Date(2026, 1, 2, 1, 4, 5, 0, time.UTC),
		"90s":                            now.Add(-90 * time.Second),
		"-15m":                           now.Add(-15 * time.Minute),
		"1h30m":                          now.Add(-90 * time.Minute),
		"7d":                             now.AddDate(0, 0, -7),
		"-4w":                            now.AddDate(0, 0, -28),
	} {
		if got, err := ParseTime(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"yesterday", "d", "7", "--7d", "1.5d", "99999d", "2000000h", "2026-13-01", "７d", "+1h ", "-"} {
		if got, err := ParseTime(in, now); err == nil {
			t.Errorf("%q gives %v", in, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"now", "7d", "-1h30m", "2026-01-02", "9999999999999999999w", "1ns"} {
		f.Add(s)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseTime(s, now)
		if err == nil && !at.IsZero() && at.After(now) {
			if _, err := time.Parse(time.RFC3339Nano, s); err == nil {
				return // a moment may lie ahead
			}
			if _, err := time.Parse(time.DateOnly, s); err != nil {
				t.Errorf("age %q lies ahead", s)
			}
		}
	})
}

// What the client encodes, the server reads as it was.
func TestRequestsSurviveTheWire(t *testing.T) {
	for _, in := range []any{
		AlertFilter{Tab: "new", Starred: true, Text: "a&b=c d%/?é", Limit: 7, Cursor: "x+/=", Range: Range{From: "-7d"}},
		FacetQuestion{Field: "source.ip", Limit: 3, Question: Question{Q: `"x y" NOT z`, Range: Range{To: "now"}}},
		Tail{Topic: "a", Last: 5, Follow: true},
		Search{},
	} {
		q, err := url.ParseQuery(EncodeQuery(in))
		if err != nil {
			t.Fatal(err)
		}
		out := reflect.New(reflect.TypeOf(in))
		if err := decodeQuery(q, out.Interface()); err != nil {
			t.Fatal(err)
		}
		if err := decodePath(func(string) string { return "a" }, out.Interface()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(in, out.Elem().Interface()); diff != "" {
			t.Errorf("%T: %s", in, diff)
		}
	}
	if p := EncodePath("/alerts/{group}", AlertKey{Group: "a/b ?#%é"}); p != "/alerts/a%2Fb%20%3F%23%25%C3%A9" {
		t.Error(p)
	}
}

func TestBytesAreTextWhereTheyCanBe(t *testing.T) {
	for _, in := range []Bytes{nil, {}, Bytes("text <é>"), {0xff, 0, 1}} {
		b, err := in.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		out := Bytes("before")
		if err := out.UnmarshalJSON(b); err != nil || string(out) != string(in) || (out == nil) != (in == nil) {
			t.Errorf("%q: %s: %q, %v", in, b, out, err)
		}
	}
	var b Bytes
	if err := b.UnmarshalJSON([]byte(`[1]`)); err == nil {
		t.Error("a list is no bytes")
	}
}

func TestLimitsAreForAddressesAndForAll(t *testing.T) {
	now := time.Now()
	l := newLimits()
	for range burst {
		if !l.allow("192.0.2.1:1", now) {
			t.Fatal("within the burst")
		}
	}
	if l.allow("192.0.2.1:2", now) {
		t.Error("beyond the burst")
	}
	if !l.allow("192.0.2.2:1", now) {
		t.Error("another address has to suffer")
	}
	if !l.allow("192.0.2.1:1", now.Add(refill)) {
		t.Error("after a while")
	}
	for i := range burst {
		if !l.allow("[2001:db8::"+string(rune('1'+i))+"]:1", now) {
			t.Fatal("within the burst")
		}
	}
	if l.allow("[2001:db8::ffff]:1", now) {
		t.Error("one network of 64 bits is one origin")
	}
	for i := range 10 * burst {
		l.allow("198.51.100."+string(rune('0'+i%10))+":1", now)
	}
	if l.allow("203.0.113.1:1", now) {
		t.Error("many addresses help")
	}
}

func TestStepsAreRoundAndFew(t *testing.T) {
	for _, d := range []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 30 * 24 * time.Hour, 40 * 365 * 24 * time.Hour} {
		if s := niceStep(d); d/s > 100 || s < time.Second {
			t.Errorf("%s: %s", d, s)
		}
	}
}

func TestGeneratedPasswordsDiffer(t *testing.T) {
	a, b := newPassword(), newPassword()
	if a == b || len(a) != 19 || a[4] != '-' {
		t.Errorf("%s %s", a, b)
	}
	u := users{}
	h := u.hashed(a)
	if !u.matches(a, h) || u.matches(b, h) || u.matches(a, "") || u.matches("", "") {
		t.Error("hashes do not tell")
	}
}
