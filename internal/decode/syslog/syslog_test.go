package syslog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode"
)

func TestHeaders(t *testing.T) {
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"<165>1 2026-03-01T22:14:15.003Z host su 77 ID47 - \ufeffmessage": `"@timestamp":"2026-03-01T22:14:15.003Z"|"message":"message"|"priority":165|"facility":{"code":20}|"severity":{"code":5}|"hostname":"host"|"appname":"su"|"procid":"77"|"msgid":"ID47"`,
		"<0>1 - - - - - -":                   `"@timestamp":"2026-03-02T08:00:00Z"|"message":"-"|"priority":0`,
		"<34>Oct 11 22:14:15 box su: failed": `"message":"Oct 11 22:14:15 box su: failed"|"priority":34|"original":"<34>`,
		"<192>x":                             `"message":"<192>x"`,
		"<1x>x":                              `"message":"<1x>x"`,
		"<>x":                                `"message":"<>x"`,
		"<13>1 yesterday h a p m - x":        `"message":"1 yesterday h a p m - x"|"priority":13`,
		"plain\r\n":                          `"message":"plain"`,
	} {
		ev, err := d.Decode([]byte(in), decode.Meta{Origin: "o", Time: at}, nil)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		for part := range strings.SplitSeq(want, "|") {
			if !strings.Contains(string(ev.JSON), part) {
				t.Errorf("%q: no %s in %s", in, part, ev.JSON)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("<165>1 2026-03-01T22:14:15.003Z host su 77 ID47 - message"))
	f.Add([]byte("<34>Oct 11 22:14:15 box su: \xff"))
	d, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		ev, err := d.Decode(line, decode.Meta{Time: time.Unix(1, 0)}, nil)
		if err != nil || !json.Valid(ev.JSON) || len(ev.Key) == 0 {
			t.Errorf("%v: %s", err, ev.JSON)
		}
	})
}
