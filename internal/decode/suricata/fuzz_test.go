package suricata

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/fault"
)

// FuzzDecode feeds the decoder whatever: it gives a permanent fault with one
// of its codes, or an event that ECS takes and that has all of the line in it,
// the same each time.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	f.Add([]byte(`{"timestamp":"2026-03-02T08:15:30.1+2359","event_type":"\u0066low"}`))
	d, other := newDecoder(f, Options{Original: true}), newDecoder(f, Options{Original: true})
	check := checker()
	f.Fuzz(func(t *testing.T, line []byte) {
		ev, err := d.Decode(line, goldenMeta, nil)
		if err != nil {
			checkFault(t, err)
			return
		}
		again, err := other.Decode(line, goldenMeta, nil)
		if err != nil || !bytes.Equal(ev.Buf, again.Buf) {
			t.Fatalf("a second decoder: %v\n%s\n%s", err, ev.Buf, again.Buf)
		}
		if !json.Valid(ev.JSON) || len(ev.Key) == 0 || len(ev.ID) != 26 {
			t.Fatalf("event %q, key %q", ev.JSON, ev.Key)
		}
		check.Schema(t, ev.JSON)
		check.Complete(t, line, ev.JSON)
	})
}

func checkFault(t *testing.T, err error) {
	t.Helper()
	codes := []string{decode.CodeJSONInvalid, decode.CodeTooManyFields, decode.CodeNoEventType, decode.CodeNoTimestamp, decode.CodeLineTooLong}
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Class != fault.Permanent || !slices.Contains(codes, e.Code) {
		t.Errorf("not a permanent fault with a known code: %v", err)
	}
}

func TestFaultsNameWhatIsWrong(t *testing.T) {
	d := newDecoder(t, Options{})
	for line, code := range map[string]string{
		``:                     decode.CodeJSONInvalid,
		`[]`:                   decode.CodeJSONInvalid,
		`{"a":1`:               decode.CodeJSONInvalid,
		`{"a":1}{}`:            decode.CodeJSONInvalid,
		`{"a":"` + "\n" + `"}`: decode.CodeJSONInvalid,
		`{}`:                   decode.CodeNoEventType,
		`{"event_type":7,"timestamp":"2026-03-02T08:15:30.104233+0000"}`: decode.CodeNoEventType,
		`{"event_type":"dns"}`: decode.CodeNoTimestamp,
		`{"event_type":"dns","timestamp":"2026-02-30T08:15:30.1+0000"}`: decode.CodeNoTimestamp,
		`{"event_type":"dns","timestamp":1772439330}`:                   decode.CodeNoTimestamp,
	} {
		_, err := d.Decode([]byte(line), goldenMeta, nil)
		if err == nil || fault.Of(err).Code != code || fault.Of(err).Class != fault.Permanent {
			t.Errorf("%s: got %v, want %s", line, err, code)
		}
	}
}

func TestLinesUpToTheLimitAreDecoded(t *testing.T) {
	d := newDecoder(t, Options{})
	head, tail := `{"timestamp":"2026-03-02T08:15:30.104233+0000","event_type":"http","http":{"x":"`, `"}}`
	fill := bytes.Repeat([]byte("a"), decode.MaxLine-len(head)-len(tail))
	line := slices.Concat([]byte(head), fill, []byte(tail))
	ev, err := d.Decode(line, goldenMeta, nil)
	if err != nil || !bytes.Contains(ev.JSON, fill) {
		t.Fatalf("a line of %d bytes: %v", len(line), err)
	}
	if _, err := d.Decode(append(line, ' '), goldenMeta, nil); err == nil || fault.Of(err).Code != decode.CodeLineTooLong {
		t.Errorf("a longer line: %v", err)
	}
}

func TestMeta(t *testing.T) {
	line := []byte(`{"timestamp":"2026-03-02T08:15:30.104233+0000","event_type":"stats","host":"s\"1","stats":{}}`)
	ev, err := newDecoder(t, Options{}).Decode(line, decode.Meta{Origin: "o", Capture: `a"b.pcap`}, []byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"@timestamp":"2026-03-02T08:15:30.104233Z","decoder":{"capture":{"name":"a\"b.pcap"}},`
	if !bytes.HasPrefix(ev.JSON, []byte(want)) {
		t.Errorf("got %s, want %s…", ev.JSON, want)
	}
	if string(ev.Time) != "2026-03-02T08:15:30.104233Z" || !bytes.HasPrefix(ev.Buf, []byte("before{")) {
		t.Errorf("time %s, buffer %s", ev.Time, ev.Buf)
	}
}

func TestKeyIsTheMonitoredAddress(t *testing.T) {
	home, err := decode.ParseHome("10.0.0.0/8", "2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	d := newDecoder(t, Options{Home: home, Sensor: "north"})
	head := `{"timestamp":"2026-03-02T08:15:30.104233+0000","event_type":"flow"`
	for rest, want := range map[string]string{
		`,"src_ip":"203.0.113.1","dest_ip":"10.0.0.9"}`:                                     "10.0.0.9",
		`,"src_ip":"10.0.0.10","dest_ip":"10.0.0.9"}`:                                       "10.0.0.9",
		`,"src_ip":"2001:0db8:0000:0000:0000:0000:0000:0001","dest_ip":"203.0.113.1"}`:      "2001:db8::1",
		`,"src_ip":"203.0.113.1","dest_ip":"192.168.1.1","community_id":"1:x=","host":"h"}`: "1:x=",
		`,"src_ip":"203.0.113.1","host":"h"}`:                                               "h",
		`}`:                                                                                 "north",
	} {
		ev, err := d.Decode([]byte(head+rest), goldenMeta, nil)
		if err != nil || string(ev.Key) != want {
			t.Errorf("%s: key %q %v, want %s", rest, ev.Key, err, want)
		}
	}
}
