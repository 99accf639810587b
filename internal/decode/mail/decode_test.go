package mail_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/decode/mail"
)

var update = flag.Bool("update", false, "write the golden files")

var logged = time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)

func options() mail.Options {
	return mail.Options{
		Border:  mail.Border{Names: []string{"mx1.example.com", "mx.example.com"}},
		Own:     []string{"example.com"},
		Default: logged,
	}
}

func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.*")
	n := 0
	for _, f := range files {
		if strings.HasSuffix(f, ".golden") {
			continue
		}
		n++
		t.Run(filepath.Base(f), func(t *testing.T) {
			value, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			raw, d, shape, err := mail.Unwrap(value)
			if err != nil {
				t.Fatal(err)
			}
			doc := mail.Decode(raw, d, options())
			doc.Mail.Shape = shape
			got, err := json.MarshalIndent(doc, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden := f + ".golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if n < 6 {
		t.Fatalf("only %d golden files", n)
	}
}

func TestIdentityIsTheSameWhereverAMessageIsSeen(t *testing.T) {
	raw, err := os.ReadFile("testdata/newsletter.eml")
	if err != nil {
		t.Fatal(err)
	}
	want := mail.Identity(raw)
	crlf := bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
	_, noTrace, _ := bytes.Cut(raw, []byte("Authentication-Results"))
	for name, b := range map[string][]byte{
		"CRLF":              crlf,
		"mbox line":         append([]byte("From x Tue Mar  3 09:15:02 2026\n"), raw...),
		"another hop":       append([]byte("Received: from a by b; Tue, 3 Mar 2026 09:15:02 +0100\n"), raw...),
		"without trace":     append([]byte("X-Spam"), noTrace...),
		"without last line": bytes.TrimRight(raw, "\n"),
	} {
		if got := mail.Identity(b); got != want {
			t.Errorf("%s: identity differs", name)
		}
	}
	for name, b := range map[string][]byte{
		"subject": bytes.Replace(raw, []byte("Subject: "), []byte("Subject: x"), 1),
		"body":    bytes.Replace(raw, []byte("zu den"), []byte("zu denen"), 1),
		"sender":  bytes.Replace(raw, []byte("<news@"), []byte("<new@"), 1),
	} {
		if mail.Identity(b) == want {
			t.Errorf("another %s gives the same identity", name)
		}
	}
	if doc := mail.Decode(crlf, mail.Delivery{}, mail.Options{}); doc.Mail.Identity != want {
		t.Error("the document's identity is another")
	}
}

func TestClientIsTheHostBeforeTheBorder(t *testing.T) {
	const (
		internal = "Received: from mx1.example.com (mx1.example.com [192.0.2.1]) by store.example.com; Tue, 3 Mar 2026 09:15:03 +0100\n"
		entry    = "Received: from smtp.sender.example (unknown [198.51.100.20]) by mx1.example.com (Postfix) with ESMTP; Tue, 3 Mar 2026 09:15:02 +0100\n"
		forged   = "Received: from friend.example (friend.example [203.0.113.5]) by mx1.example.com; Tue, 3 Mar 2026 09:15:01 +0100\n"
	)
	names := mail.Border{Names: []string{"mx1.example.com"}}
	for _, tt := range []struct {
		name, header string
		border       mail.Border
		delivery     mail.Delivery
		ip, method   string
	}{
		{"entry", entry, names, mail.Delivery{}, "198.51.100.20", "border"},
		{"behind an internal hop", internal + entry, names, mail.Delivery{}, "198.51.100.20", "border"},
		{"a forged hop below the border's", internal + entry + forged, names, mail.Delivery{}, "198.51.100.20", "border"},
		{"every host below a name", internal + entry + forged, mail.Border{Names: []string{"*.Example.com"}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, mail.Delivery{}, "198.51.100.20", "border"},
		{"no host below that name", entry, mail.Border{Names: []string{"*.mx1.example.com", "*1.example.com", "*"}}, mail.Delivery{}, "", ""},
		{"by network", internal + entry + forged, mail.Border{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, mail.Delivery{}, "198.51.100.20", "border"},
		{"nothing configured", entry, mail.Border{}, mail.Delivery{}, "198.51.100.20", "first_public"},
		{"the source saw it", entry, names, mail.Delivery{ClientIP: netip.MustParseAddr("198.51.100.99")}, "198.51.100.99", "connection"},
		{"the source saw an own host", entry, names, mail.Delivery{ClientIP: netip.MustParseAddr("127.0.0.1")}, "198.51.100.20", "border"},
		{"never passed the border", forged[:20] + "x by other.example\n", names, mail.Delivery{}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := mail.Decode([]byte(tt.header+"\nbody"), tt.delivery, mail.Options{Border: tt.border})
			ip, method := "", ""
			if c := doc.Mail.Client; c != nil {
				ip, method = c.IP.String(), c.Method
			}
			if ip != tt.ip || method != tt.method {
				t.Errorf("client %s by %s, want %s by %s", ip, method, tt.ip, tt.method)
			}
		})
	}
}

func TestAuthenticationResultsCountOnlyFromTheBorder(t *testing.T) {
	const (
		good   = "Authentication-Results: mx1.example.com; spf=fail (no) smtp.mailfrom=a.example; dkim=pass header.d=a.example; dmarc=fail\n"
		forged = "Authentication-Results: mx1.example.com; spf=pass; dmarc=pass\n"
		ms     = "Authentication-Results: spf=softfail (sender IP is 198.51.100.20) smtp.mailfrom=a.example; dkim=none (message not signed) header.d=none;dmarc=fail action=none header.from=a.example;compauth=fail reason=001\n"
		hop    = "Received: from smtp.sender.example (unknown [198.51.100.20]) by mx1.example.com; Tue, 3 Mar 2026 09:15:02 +0100\n"
	)
	names := mail.Border{Names: []string{"mx1.example.com"}}
	for _, tt := range []struct {
		name, header string
		border       mail.Border
		spf, dmarc   string
	}{
		{"above the border's hop", good + hop + forged, names, "fail", "fail"},
		{"below it", hop + forged, names, "", ""},
		{"nothing configured", good + hop, mail.Border{}, "", ""},
		{"another host", "Authentication-Results: evil.example; spf=pass\n" + hop, names, "", ""},
		{"Microsoft's", ms + hop, mail.Border{Names: names.Names, Microsoft: true}, "softfail", "fail"},
		{"Microsoft's, not asked for", ms + hop, names, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := mail.Decode([]byte(tt.header+"\n"), mail.Delivery{}, mail.Options{Border: tt.border}).Mail.Auth
			if a.SPF != tt.spf || a.DMARC != tt.dmarc || a.Trusted != (tt.spf != "") {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestAForgedDateDoesNotMoveAMessageIntoTheFuture(t *testing.T) {
	doc := mail.Decode([]byte("Date: Tue, 3 Mar 2099 08:14:58 +0000\n\nx"), mail.Delivery{}, mail.Options{Default: logged})
	if !doc.Timestamp.Equal(logged) {
		t.Errorf("@timestamp %v", doc.Timestamp)
	}
}

func TestAJournalReportWithMoreThanAnEnvelopeStaysWrapped(t *testing.T) {
	b, err := os.ReadFile("testdata/journal.eml")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"Recipient: bob@example.com\n", "Recipient: bob@example.com\nPay here: https://evil.example\n"},
		{"--j--", "--j\n\nthird\n--j--"},
		{"X-MS-Journal-Report:", "X-Other:"},
	} {
		_, _, shape, err := mail.Unwrap(bytes.Replace(b, []byte(change[0]), []byte(change[1]), 1))
		if err != nil || shape != mail.ShapeRaw {
			t.Errorf("%q: shape %s, %v", change[1], shape, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.*")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && !strings.HasSuffix(name, ".golden") {
			f.Add(b)
		}
	}
	f.Add([]byte("From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n--x\n--x--"))
	f.Add([]byte("Content-Type: text/html\n\n<a href='http://[::1%25a]/'><meta http-equiv=refresh content=0;url=\\\\x>"))
	f.Add([]byte("Received: (((((\nFrom: \"\\\nSubject: =?utf-8?B?/?=\n\n"))
	limits := mail.Limits{Text: 200, URLs: 5, Parts: 20, Depth: 4}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, d, _, err := mail.Unwrap(b)
		if err != nil {
			return
		}
		doc := mail.Decode(raw, d, mail.Options{Limits: limits, Border: options().Border})
		out, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out) || len(doc.Mail.URLs) > 5 || len(doc.Mail.Body.Text) > 200 || doc.Mail.Parts > 20 {
			t.Fatalf("beyond the limits: %s", out)
		}
		if doc.Mail.Identity != mail.Identity(raw) {
			t.Fatal("two identities")
		}
	})
}
