package hygiene

import (
	"fmt"
	"strings"
)

func routeChecks() []check {
	return []check{
		{"auth_fail",
			"The domain's owner says who may send for it; this host may not.",
			"mail forwarded by an old mailbox, or a sender whose records are out of date", authFail},
		{"client_without_name",
			"A host meant to send mail has a name for its address; a hired or hijacked one often has none.",
			"a small sender whose provider sets no names", func(f *facts) string {
				if c := f.doc.Mail.Client; c != nil && c.RDNS == "unknown" {
					return c.IP.String()
				}
				return ""
			}},
		{"script_mailer",
			"Fraud is sent by scripts left on stolen web sites; their fields say so.",
			"a web shop's or forum's own notification", scriptMailer},
		{"message_id_missing",
			"Every mail program and server writes a Message-ID; home-made bulk tools forget it.",
			"a device or script on one's own network", func(f *facts) string {
				if f.doc.Mail.Client == nil || strings.IndexByte(f.doc.Email.MessageID, '@') > 0 {
					return ""
				}
				return "Message-ID " + quote(f.doc.Email.MessageID)
			}},
		{"fake_reply",
			"A subject that pretends to answer makes the reader look for what he asked; a real answer names the message it answers.",
			"a mail program that writes no reference", func(f *facts) string {
				if !isReply(f.subject) || f.list || f.has("In-Reply-To") || f.has("References") || f.has("Thread-Index") {
					return ""
				}
				return quote(f.doc.Email.Subject)
			}},
		{"recipients_hidden",
			"Sent to many at once, and none is to know.",
			"an announcement by blind copy", func(f *facts) string {
				if f.list || len(f.doc.Email.To.Address)+len(f.doc.Email.CC.Address) > 0 {
					return ""
				}
				return "no recipient is named"
			}},
	}
}

func authFail(f *facts) string {
	a := f.doc.Mail.Auth
	if !a.Trusted {
		return ""
	}
	switch {
	case a.DMARC == "fail" && !f.list:
		return "DMARC fails for " + f.doc.Mail.From.Domain
	case a.SPF == "fail" && a.DMARC != "pass" && !f.list:
		return "SPF fails"
	}
	if a.DMARC == "pass" || f.list {
		return ""
	}
	// Without DMARC a broken signature of the sender's own domain is what the
	// owner would be told of.
	for _, d := range a.DKIM {
		if d.Result == "fail" && d.Domain != "" && strings.HasSuffix(f.doc.Mail.From.Domain, d.Domain) && a.SPF != "pass" {
			return "the signature of " + d.Domain + " is broken"
		}
	}
	return ""
}

func scriptMailer(f *facts) string {
	for _, h := range f.doc.Mail.Headers {
		switch strings.ToLower(h.Name) {
		case "x-php-originating-script", "x-php-script", "x-php-filename", "x-get-message-sender-via", "x-source-args", "x-source-dir":
			if h.Value != "" && (strings.HasPrefix(strings.ToLower(h.Name), "x-php") || strings.Contains(h.Value, ".php") || strings.Contains(h.Value, "public_html")) {
				return h.Name + ": " + quote(h.Value)
			}
		}
	}
	return ""
}

func isReply(subject string) bool {
	for _, p := range [...]string{"re:", "re :", "aw:", "sv:", "antw:", "res:", "rif:"} {
		if strings.HasPrefix(subject, p) {
			return true
		}
	}
	return false
}

func (f *facts) has(name string) bool {
	for i := range f.doc.Mail.Headers {
		if strings.EqualFold(f.doc.Mail.Headers[i].Name, name) && f.doc.Mail.Headers[i].Value != "" {
			return true
		}
	}
	return false
}

func contextChecks() []check {
	return []check{
		{"hidden_text", "Context: newsletters hide a preview as well.", "nearly all newsletters", func(f *facts) string {
			return count(f.doc.Mail.Body.Hidden, "bytes styled away")
		}},
		{"tracking_pixel", "Context: newsletters count readers as well.", "nearly all newsletters", func(f *facts) string {
			return count(f.doc.Mail.Body.Pixels, "images too small to see")
		}},
		{"html_form", "Context: surveys ask in the message as well.", "a survey", func(f *facts) string {
			return count(f.doc.Mail.Body.Forms, "forms")
		}},
		{"envelope_differs", "Context: mailing services take bounces at their own domain.", "nearly all bulk mail", func(f *facts) string {
			env := f.doc.Mail.Envelope.From
			i := strings.LastIndexByte(env, '@')
			if i < 0 || f.doc.Mail.From.Domain == "" || sameSite(strings.ToLower(env[i+1:]), f.doc.Mail.From.Domain) {
				return ""
			}
			return "bounces go to " + env[i+1:]
		}},
	}
}

func count(n int, what string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, what)
}
