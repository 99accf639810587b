package zeek

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/decodetest"
	"github.com/decodersring/decoder/internal/fault"
)

const tsvHeader = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tx\n" +
	"#fields\tts\ts\tc\tb\tss\tvd\td\n#types\ttime\tstring\tcount\tbool\tset[string]\tvector[double]\tdouble\n"

func TestTSVBecomesWhatTheJSONWriterGives(t *testing.T) {
	h, err := parseHeader(tsvHeader)
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"1.5\ta\t7\tT\tx,y\t1.0,-,2e-3\t-":  `{"ts":1.5,"s":"a","c":7,"b":true,"ss":["x","y"],"vd":[1.0,null,2e-3]}`,
		"1\t(empty)\t-\tF\t(empty)\t-\tnan": `{"ts":1,"s":"","b":false,"ss":[],"d":"nan"}`,
		"-\t\"\\x09\xff\t007\tmaybe\t\t\t":  `{"s":"\"\\x09` + "\ufffd" + `","c":"007","b":"maybe","ss":[""],"vd":[""],"d":""}`,
	} {
		got, err := h.appendJSON(nil, []byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%q: got %s %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"1\t2", "1\ta\t7\tT\tx\t1\t2\t3", ""} {
		if _, err := h.appendJSON(nil, []byte(in)); err == nil {
			t.Errorf("%q was accepted for seven columns", in)
		}
	}
}

func TestHeaderWithAnotherSeparator(t *testing.T) {
	h, err := parseHeader("#separator \\x7c\n#set_separator|;\n#path|conn\n#fields|ts|v\n#types|time|set[count]\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.appendJSON(nil, []byte("1|2;3")); err != nil || string(got) != `{"ts":1,"v":[2,3]}` {
		t.Errorf("got %s, %v", got, err)
	}
	for _, in := range []string{"", "#separator \\x\n", "#fields\ta\n#types\tint\tint\n", "#fields\ta\"\n#types\tint\n", "#fields\t" + strings.Repeat("a\t", 2000)} {
		if _, err := parseHeader(in); err == nil {
			t.Errorf("header %.30q was accepted", in)
		}
	}
}

func TestFaults(t *testing.T) {
	d := newDecoder(t)
	for _, c := range []struct{ line, format, code string }{
		{"1.5\ta", "", decode.CodeUnknownFormat},
		{"1.5\ta", tsvHeader, decode.CodeUnknownFormat},
		{"1.5\ta", "#path\tx\n", decode.CodeUnknownFormat},
		{`{"ts":1}`, "#nothing", decode.CodeUnknownFormat},
		{"-\ta\t7\tT\tx\t1\t1", tsvHeader, decode.CodeNoTimestamp},
		{`{"a":1}`, "", decode.CodeNoTimestamp},
		{`{"ts":`, "", decode.CodeJSONInvalid},
		{``, "", decode.CodeJSONInvalid},
	} {
		_, err := d.Decode([]byte(c.line), decode.Meta{Format: c.format}, nil)
		if err == nil || fault.Of(err).Code != c.code || fault.Of(err).Class != fault.Permanent {
			t.Errorf("%q: got %v, want %s", c.line, err, c.code)
		}
	}
	if ev, err := d.Decode([]byte("#close\t2026"), decode.Meta{}, nil); err != nil || ev.JSON != nil {
		t.Errorf("a line of a header gave %s, %v", ev.JSON, err)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	d := newDecoder(t)
	in, err := os.ReadFile("testdata/golden/conn.log")
	if err != nil {
		t.Fatal(err)
	}
	eachLine(in, func(line []byte, format string) {
		meta := decode.Meta{Origin: "zeek:x:0", Topic: "zeek_ingest", Format: format}
		var buf []byte
		decodetest.NoAllocs(t, string(line), func() {
			ev, err := d.Decode(line, meta, buf[:0])
			if err != nil {
				t.Fatal(err)
			}
			buf = ev.Buf
		})
	})
}

// FuzzDecode feeds the decoder whatever: a permanent fault, no event, or one
// that ECS takes and that has all of the line in it.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.log")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		eachLine(b, func(line []byte, format string) { f.Add(line, format) })
	}
	f.Add([]byte(`{"_path":"dns","ts":1,"answers":["a",1],"TTLs":[1,{}]}`), "")
	d := newDecoder(f)
	f.Fuzz(func(t *testing.T, line []byte, format string) {
		ev, err := d.Decode(line, decode.Meta{Origin: "o", Format: format}, nil)
		if err != nil {
			if fault.Of(err).Class != fault.Permanent {
				t.Errorf("not permanent: %v", err)
			}
			return
		}
		if ev.JSON == nil {
			return
		}
		if !json.Valid(ev.JSON) || len(ev.Key) == 0 {
			t.Fatalf("event %q, key %q", ev.JSON, ev.Key)
		}
		check(t, d, line, format, ev.JSON)
	})
}

// TestNothingOfRealLogsIsLost decodes Zeek's logs of the corpora.
func TestNothingOfRealLogsIsLost(t *testing.T) {
	corpora := os.Getenv("DECODER_CORPORA")
	if corpora == "" {
		t.Skip("set DECODER_CORPORA to the folder of the unpacked corpora")
	}
	d := newDecoder(t)
	count, faults := 0, map[string]int{}
	err := filepath.WalkDir(filepath.Join(corpora, "zeek"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		log, name := readLog(t, path)
		n := 0
		eachLine(log, func(line []byte, format string) {
			if n++; n > 2000 || t.Failed() { // of each log, to stay within a minute
				return
			}
			line = bytes.ReplaceAll(line, []byte("XXXXXXXXXX.XXXXXX"), []byte("1.500000")) // taken out of Zeek's baselines
			if line[0] == '{' && format == "" {
				format = "#path\t" + name + "\n"
			}
			ev, err := d.Decode(line, decode.Meta{Origin: "o", Format: format}, nil)
			if err != nil {
				faults[fault.Of(err).Code]++
				return
			}
			count++
			check(t, d, line, format, ev.JSON)
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count < 10000 {
		t.Errorf("%d events only", count)
	}
	// Some files of the folder are no logs: summaries, baselines without header.
	t.Logf("%d events, faults %v", count, faults)
}

// readLog reads a log, packed or not, and tells its name by the file's.
func readLog(t *testing.T, path string) (log []byte, name string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Logf("%s is cut short: %v", path, err)
		}
	}
	name, _, _ = strings.Cut(filepath.Base(path), ".")
	return b, name
}
