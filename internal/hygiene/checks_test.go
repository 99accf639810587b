package hygiene

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode/mail"
)

const hop = "Received: from a (a.example [198.51.100.20]) by mx1.example.com; Tue, 3 Mar 2026 09:15:02 +0100\n"

// message writes a message with the usual fields where the header lacks them.
func message(header, body string) string {
	for _, f := range []string{"From: Ada <ada@example.net>", "To: bob@example.com", "Subject: Lunch", "Message-ID: <1@example.net>"} {
		name, _, _ := strings.Cut(f, ":")
		if !strings.Contains("\n"+header, "\n"+name+":") {
			header += f + "\n"
		}
	}
	return hop + header + "\n" + body
}

func html(s string) (string, string) { return "Content-Type: text/html\n", s }

func part(kind, name, body string) string {
	return "--b\nContent-Type: " + kind + "; name=\"" + name + "\"\nContent-Disposition: attachment; filename=\"" + name + "\"\n\n" + body + "\n"
}

const multipart = "Content-Type: multipart/mixed; boundary=b\n"

// checkCases has for each check a message it must mark and one, as near to it
// as can be, that it must not.
var checkCases = []struct {
	check string
	marks string
	not   string
}{
	{"from_malformed", message("From: Account team ,_<k@x.example>\n", ""), message("From: \"Team, Account\" <k@x.example>\n", "")},
	{"from_malformed", message("From: <a@detran>\n", ""), "From: root@host\n\n"},
	{"brand_display", message("From: PayPal Service <x@pay.example>\n", ""), message("From: PayPal Service <x@mail.paypal.com>\n", "")},
	{"brand_display", message("From: =?utf-8?B?UGF50YBhbA==?= <x@pay.example>\n", ""), message("From: Paypalina <x@pay.example>\n", "")},
	{"brand_display", message("From: Apple Support <x@y.example>\n", ""), message("From: Apple Pie Recipes <x@y.example>\n", "")},
	{"brand_claim", message("Subject: Your Netflix membership\n", "https://x.example/"), message("Subject: Your Netflix membership\n", "https://www.netflix.com/")},
	{"brand_claim", message("", "Dear Trust Wallet customer,\nhttps://x.example/"), message("", "The trust wallet is nice. https://x.example/")},
	{"brand_links_elsewhere", message("From: <x@netflix.com>\n", "https://x.example/"), message("From: <x@netflix.com>\n", "https://help.netflix.com/")},
	{"lookalike_own", message("From: <x@exarnple.com>\n", ""), message("From: <x@example.com>\n", "")},
	{"lookalike_own", message("From: <x@exampel.com>\n", ""), message("From: <x@sub.example.com>\n", "")},
	{"lookalike_own", message("", "http://xn--exmple-cua.com/"), message("", "http://sample.org/")},
	{"lookalike_brand", message("From: <x@paypa1.com>\n", ""), message("From: <x@paypal.com>\n", "")},
	{"lookalike_brand", message("From: <x@paypal-secure.example>\n", ""), message("From: <x@pay-pals.example>\n", "")},
	{"lookalike_brand", message("From: <x@rnicrosoft.com>\n", ""), message("From: <x@online.com>\n", "")},
	{"display_address", message("From: \"ceo@example.com\" <x@y.example>\n", ""), message("From: \"ada@example.net\" <ada@example.net>\n", "")},
	{"display_role_freemail", message("From: Customer Support <a@gmail.com>\n", ""), message("From: Ada Lovelace <a@gmail.com>\n", "")},
	{"mixed_script", message("From: =?utf-8?B?UGF50YBhbA==?= <x@y.example>\n", ""), message("From: =?utf-8?B?0JDQtNCw?= Ada <x@y.example>\n", "")},
	{"styled_letters", message("Subject: 𝐑𝐄𝐒𝐓𝐀𝐑𝐓\n", ""), message("Subject: RESTART 𝛼\n", "")},
	{"sender_random", message("From: <x@p1jds8y8qu.com>\n", ""), message("From: <x@web20summit.com>\n", "")},
	{"sender_tld", message("From: <x@y.cfd>\n", ""), message("From: <x@y.example>\n", "")},
	{"sender_tenant", message("From: <x@q7.onmicrosoft.com>\n", ""), message("From: <x@microsoft.com>\n", "")},
	{"sender_numbered", message("From: <ann73201@gmail.com>\n", ""), message("From: <ann1985@gmail.com>\n", "")},
	{"reply_to_differs", message("Reply-To: a@other.example\n", ""), message("Reply-To: a@other.example\nList-Id: <l.example.net>\n", "")},
	{"reply_to_freemail", message("Reply-To: a@gmail.com\n", ""), message("From: a@gmail.com\nReply-To: a@gmail.com\n", "")},
	{"reply_to_other_mailbox", message("From: a@gmail.com\nReply-To: b@gmx.de\n", ""), message("From: a@gmail.com\nReply-To: A@gmail.com\n", "")},
	{"from_is_recipient", message("From: bob@example.com\n", ""), message("From: ada@example.com\n", "")},
	{"client_without_name", "Received: from a (unknown [198.51.100.20]) by mx1.example.com; Tue, 3 Mar 2026 09:15:02 +0100\n\n", message("", "")},
	{"script_mailer", message("X-PHP-Originating-Script: 0:m.php\n", ""), message("X-Mailer: x\n", "")},
	{"message_id_missing", hop + "From: a@b.example\n\n", message("", "")},
	{"fake_reply", message("Subject: Re: your order\n", ""), message("Subject: Re: your order\nIn-Reply-To: <x@y>\n", "")},
	{"recipients_hidden", hop + "From: a@b.example\n\n", message("", "")},
	{"subject_urgency", message("Subject: Final notice\n", ""), message("Subject: Notice\n", "")},
	{"subject_urgency", message("Subject: Última ação: ÚLTIMA CHANCE\n", ""), message("Subject: Re: final notice\n", "")},
	{"subject_lure", message("Subject: Congratulations!\n", ""), message("Subject: Reprise\n", "")},
	{"credential_words", message("", "Please verify your account at https://x.example/"), message("", "Please verify your account.")},
	{"advance_fee", message("", "Dear friend, I am the next of kin of a deceased client; the sum of 4 million dollars"), message("", "Dear friend, lunch?")},
	{"extortion", message("", "I recorded you with your webcam. Send 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"), message("", "Our wallet: 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")},
	{"recipient_merged", message("Subject: bob@example.com, look\n", ""), message("Subject: Bob, look\n", "")},
	{"zero_width", message(html("p\u200ba\u200bs\u200bs")), message(html("a \u200b \u200b \u200b b"))},
	{"image_only_link", message(html("<a href=http://x.example/><img src=http://x.example/i.png></a>")), message(html("<img src=http://x.example/i.png>"))},
	{"password_form", message(html("<form><input type=password></form>")), message(html("<form><input type=text></form>"))},
	{"url_shortener", message("", "https://bit.ly/x"), message("", "https://nobit.ly/x")},
	{"url_tld", message("", "https://x.sbs/"), message("", "https://x.sbs.example/")},
	{"url_hosting", message("", "https://x.web.app/"), message("From: <a@x.web.app>\n", "https://x.web.app/")},
	{"url_address", message("", "http://3405803876/x"), message("", "http://192.168.1.1/x")},
	{"url_address", message("", "http://203-0-113-4.cloud.example/x"), message("", "http://2026-11-24.example/x")},
	{"url_userinfo", message(html("<a href=http://paypal.com@x.example/>x</a>")), message(html("<a href=http://x.example/@paypal.com>x</a>"))},
	{"url_data", message(html("<a href='data:text/html,x'>x</a>")), message(html("<a href='data:image/png,x'>x</a>"))},
	{"url_redirector", message("", "https://www.google.com/url?q=http://x.example"), message("", "https://www.google.com/search?q=x")},
	{"url_obfuscated", message(html("<a href=http://x.example/%70%61%79%31>x</a>")), message(html("<a href=http://x.example/%20%c3%a9%2f%3f>x</a>"))},
	{"url_brand_host", message("", "http://paypal.com.secure.example/"), message("", "http://www.paypal.com/")},
	{"anchor_mismatch", message(html("<a href=http://x.example/>www.example.org</a>")), message(html("<a href=http://x.example.org/>www.example.org</a>"))},
	{"url_random", message("", "http://x7k2q9p4.com/"), message("", "http://encyclopedia.com/")},
	{"attachment_executable", message(multipart, part("application/octet-stream", "a.exe", "x")), message(multipart, part("application/pdf", "a.pdf", "x"))},
	{"attachment_executable", message(multipart, part("application/pdf", "a.pdf", "MZ\x90")), message(multipart, part("application/pdf", "a.pdf", "%PDF"))},
	{"attachment_double_extension", message(multipart, part("application/octet-stream", "a.pdf.scr", "x")), message(multipart, part("application/octet-stream", "a.v2.pdf", "x"))},
	{"attachment_page", message(multipart, part("text/html", "a.html", "<p>")), message(multipart, part("text/plain", "a.txt", "x"))},
	{"attachment_password_form", message(multipart, part("text/html", "a.htm", "<input type=password>")), message(multipart, part("text/html", "a.htm", "<input type=text>"))},
	{"attachment_macro", message(multipart, part("application/octet-stream", "a.docm", "x")), message(multipart, part("application/octet-stream", "a.docx", "x"))},
	{"attachment_type_lies", message(multipart, part("application/pdf", "a.pdf", "Rar!\x1a\x07\x00")), message(multipart, part("application/pdf", "a.pdf", "%PDF-1.7"))},
	{"hidden_text", message(html("<div style='display: none'>x</div>")), message(html("<div style='display:block'>x</div>"))},
	{"tracking_pixel", message(html("<img width=1 height=1 src=http://x.example/>")), message(html("<img width=100 src=http://x.example/>"))},
	{"html_form", message(html("<form>")), message(html("<p>"))},
	{"envelope_differs", message("Return-Path: <b@bounce.example>\n", ""), message("Return-Path: <b@mail.example.net>\n", "")},
}

// archives and results are tested apart: their messages are not text.
var testedElsewhere = []string{"attachment_archive_executable", "attachment_encrypted", "auth_fail"}

func shippedLists(t testing.TB) *Lists {
	l, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func judge(t testing.TB, raw string) Verdict {
	e := New(Config{Own: []string{"example.com"}}, shippedLists(t), nil, nil)
	return e.Check(t.Context(), mail.Decode([]byte(raw), mail.Delivery{}, mail.Options{}))
}

func found(v Verdict, check string) bool {
	for _, c := range v.Checks {
		if c.Name == check {
			return true
		}
	}
	return false
}

func TestEachCheckMarksWhatItIsForAndNotItsNeighbour(t *testing.T) {
	tested := map[string]bool{}
	for _, name := range testedElsewhere {
		tested[name] = true
	}
	for _, tt := range checkCases {
		tested[tt.check] = true
		t.Run(tt.check, func(t *testing.T) {
			if v := judge(t, tt.marks); !found(v, tt.check) {
				t.Errorf("not marked: %q\n%+v", tt.marks, v.Checks)
			}
			if v := judge(t, tt.not); found(v, tt.check) {
				t.Errorf("marked: %q\n%+v", tt.not, v.Checks)
			}
		})
	}
	for _, c := range table() {
		if !tested[c.name] {
			t.Errorf("check %s has no test", c.name)
		}
	}
}

func TestEveryCheckHasReasonPointsAndWhatMakesItHarmless(t *testing.T) {
	l := shippedLists(t)
	for _, c := range append(table(), askedChecks()...) {
		if _, ok := l.scores[c.name]; !ok || c.reason == "" || c.benign == "" {
			t.Errorf("%s lacks one", c.name)
		}
	}
}

func TestAuthenticationFailuresCountUnlessAListBrokeThem(t *testing.T) {
	e := New(Config{}, shippedLists(t), nil, nil)
	for _, tt := range []struct {
		name string
		auth mail.Auth
		list string
		want bool
	}{
		{"DMARC fails", mail.Auth{DMARC: "fail", Trusted: true}, "", true},
		{"SPF fails", mail.Auth{SPF: "fail", Trusted: true}, "", true},
		{"SPF fails, DMARC passes", mail.Auth{SPF: "fail", DMARC: "pass", Trusted: true}, "", false},
		{"a list", mail.Auth{DMARC: "fail", Trusted: true}, "l.example", false},
		{"not the border's word", mail.Auth{DMARC: "fail"}, "", false},
		{"a pass is no evidence", mail.Auth{DMARC: "pass", SPF: "pass", Trusted: true}, "", false},
		{"own signature broken", mail.Auth{DKIM: []mail.DKIMResult{{Result: "fail", Domain: "example.net"}}, Trusted: true}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := mail.Decode([]byte(message("", "")), mail.Delivery{}, mail.Options{})
			doc.Mail.Auth, doc.Mail.List.ID = tt.auth, tt.list
			if v := e.Check(t.Context(), doc); found(v, "auth_fail") != tt.want {
				t.Errorf("%+v", v.Checks)
			}
		})
	}
}

func TestArchivesAreLookedInto(t *testing.T) {
	e := New(Config{}, shippedLists(t), nil, nil)
	for _, tt := range []struct {
		archive   mail.Archive
		runs, enc bool
	}{
		{mail.Archive{Entries: 2, Names: []string{"read.me", "invoice.exe"}}, true, false},
		{mail.Archive{Entries: 1, Names: []string{"invoice.js"}}, true, false},
		{mail.Archive{Entries: 9, Names: []string{"src/index.js", "build.sh"}}, false, false},
		{mail.Archive{Entries: 1, Names: []string{"a.pdf"}, Encrypted: true}, false, true},
	} {
		doc := mail.Decode([]byte(message("", "")), mail.Delivery{}, mail.Options{})
		doc.Email.Attachments = []mail.Attachment{{File: mail.File{Name: "a.zip", Extension: "zip", Archive: &tt.archive}}}
		v := e.Check(t.Context(), doc)
		if found(v, "attachment_archive_executable") != tt.runs || found(v, "attachment_encrypted") != tt.enc {
			t.Errorf("%+v: %+v", tt.archive, v.Checks)
		}
	}
}

func TestListsCanBeOverridden(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("scores.txt", "url_shortener 60\n")
	write("shorteners.txt", "-bit.ly\nshort.example # ours\n"[:len("-bit.ly\nshort.example")])
	write("brands.txt", "Example Bank: examplebank.example\n")
	l, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := New(Config{}, l, nil, nil)
	check := func(raw string) Verdict {
		return e.Check(t.Context(), mail.Decode([]byte(raw), mail.Delivery{}, mail.Options{}))
	}
	if v := check(message("", "https://short.example/x")); v.Result != Bad {
		t.Errorf("own score: %+v", v)
	}
	if v := check(message("", "https://bit.ly/x")); found(v, "url_shortener") {
		t.Error("an entry taken away is still there")
	}
	if v := check(message("From: Example Bank <x@y.example>\n", "")); !found(v, "brand_display") {
		t.Error("own brand is not known")
	}
	for name, text := range map[string]string{
		"scores.txt": "no_such_check 5\n", "brands.txt": "nobody\n", "shortners.txt": "x.example\n",
	} {
		dir = t.TempDir()
		write(name, text)
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v does not name the file", name, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, tt := range checkCases {
		f.Add([]byte(tt.marks))
	}
	e := New(Config{Own: []string{"example.com"}}, shippedLists(f), nil, nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		v := e.Check(t.Context(), mail.Decode(raw, mail.Delivery{}, mail.Options{}))
		if v.Score < 0 || v.Score > 100 || v.Result == "" {
			t.Fatalf("%+v", v)
		}
		for _, c := range v.Checks {
			if c.Evidence == "" || len(c.Evidence) > 300 || c.Benign == "" {
				t.Fatalf("%+v", c)
			}
		}
	})
}
