// Package mailtest makes messages that are meant to use up whoever reads them.
// It knows the limits they try.
package mailtest

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/decodersring/decoder/internal/decode/mail"
)

// Bomb is a hostile message.
type Bomb struct {
	Name   string
	Raw    func() []byte
	Defect string // that its document must name; "" any
}

// Bombs returns one for each way that is known.
func Bombs() []Bomb {
	big := 50 << 20
	html := "From: a@example.com\nContent-Type: text/html\n\n"
	return []Bomb{
		{"nested multiparts", func() []byte { return nested(10_000, false) }, mail.DefectDepth},
		{"nested multiparts of one boundary", func() []byte { return nested(100_000, true) }, ""},
		{"nested multiparts, padded", func() []byte { return append(nested(32, false), bytes.Repeat([]byte("--b31\n"), 7<<20)...) }, mail.DefectParts},
		{"almost boundaries", func() []byte { return append(nested(31, false), bytes.Repeat([]byte("\n--b"), 12<<20)...) }, ""},
		{"many parts", func() []byte {
			return append([]byte("Content-Type: multipart/mixed; boundary=b\n\n"), bytes.Repeat([]byte("--b\n\nx\n"), 1<<20)...)
		}, mail.DefectParts},
		{"nested messages", func() []byte {
			return append(bytes.Repeat([]byte("Content-Type: message/rfc822\n\n"), 1000), make([]byte, 40<<20)...)
		}, mail.DefectHashed},
		{"header flood", func() []byte { return bytes.Repeat([]byte("X: y\n"), 10<<20) }, mail.DefectHeaderFields},
		{"one long field", func() []byte { return append([]byte("From: "), bytes.Repeat([]byte("<"), big)...) }, mail.DefectHeaderBlock},
		{"long folded fields", func() []byte { return bytes.Repeat([]byte("To: "+strings.Repeat("\"a(<,", 16_000)+"\n"), 12) }, mail.DefectHeaderField},
		{"encoded words", func() []byte { return []byte("Subject: " + strings.Repeat("=?utf-8?B?", 6000) + "\n\n") }, ""},
		{"50 MB attachment", func() []byte { return attached("application/octet-stream", make([]byte, 37<<20)) }, ""},
		{"51 MB text", func() []byte {
			return append([]byte("From: a@example.com\n\n"), bytes.Repeat([]byte("a "), 26<<20)...)
		}, mail.DefectMessageSize},
		{"zip of zeros", func() []byte { return attached("application/zip", zipOf(1, 128<<20)) }, mail.DefectArchiveSize},
		{"zip of many entries", func() []byte { return attached("application/zip", zipOf(20_000, 0)) }, mail.DefectArchiveEntries},
		{"html, tags never closed", func() []byte {
			return []byte(html + strings.Repeat("<div style=display:none><a href=http://a.b/>", 1<<20))
		}, mail.DefectText},
		{"html, one tag", func() []byte { return []byte(html + "<a " + strings.Repeat("x=y ", 10<<20)) }, mail.DefectText},
		{"html, script", func() []byte { return []byte(html + strings.Repeat("<script><!--<script>", 2<<20)) }, mail.DefectText},
		{"html, entities", func() []byte { return []byte(html + strings.Repeat("&CounterClockwiseContourIntegral", 1<<18)) }, ""},
		{"links", func() []byte {
			var b bytes.Buffer
			for i := range 1 << 20 {
				fmt.Fprintf(&b, "http://h%d.example/ ", i)
			}
			return append([]byte("\n"), b.Bytes()...)
		}, mail.DefectURLs},
		{"almost links", func() []byte { return []byte("\n" + strings.Repeat("http:/www", 2<<20)) }, ""},
		{"unknown charset", func() []byte {
			return []byte("Content-Type: text/plain; charset=x-none\n\n" + strings.Repeat("\xff\x00", 1<<20))
		}, mail.DefectCharset},
		{"no text of its charset", func() []byte {
			return []byte("Content-Type: text/plain; charset=utf-16le\n\n" + strings.Repeat("\x00\xd8", 4<<20) + "x")
		}, mail.DefectNUL},
		{"charset of a megabyte", func() []byte {
			return []byte("Content-Type: text/plain; charset=\"" + strings.Repeat("gb18030 ", 1<<17) + "\"\n\n" + strings.Repeat("\x81\x30", 1<<20))
		}, ""},
		{"iso-2022 escapes", func() []byte {
			return []byte("Content-Type: text/plain; charset=iso-2022-jp\n\n" + strings.Repeat("\x1b$B", 1<<20))
		}, ""},
	}
}

// nested returns n multiparts one in the other, none of them terminated.
func nested(n int, same bool) []byte {
	var b bytes.Buffer
	for i := range n {
		boundary := fmt.Sprintf("b%d", i)
		if same {
			boundary = "b"
		}
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%s\n\n--%s\n", boundary, boundary)
	}
	return b.Bytes()
}

func zipOf(entries int, size int) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for i := range entries {
		w, _ := z.Create(fmt.Sprintf("f%d", i))
		for left := size; left > 0; left -= len(zeros) {
			_, _ = w.Write(zeros[:min(left, len(zeros))])
		}
	}
	_ = z.Close()
	return b.Bytes()
}

func attached(media string, data []byte) []byte {
	return []byte("From: a@example.com\nContent-Type: " + media + "; name=a.zip\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString(data))
}
