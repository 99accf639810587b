package hygiene

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/decodersring/decoder/internal/decode/mail"
)

func contentChecks() []check {
	return []check{
		{"subject_urgency",
			"Fraud wants to be obeyed before it is thought about, so the subject threatens or sets a time.",
			"a real reminder, invoice or alarm", func(f *facts) string {
				if f.list || isReply(f.subject) {
					return ""
				}
				return f.phrase("urgency", f.subject)
			}},
		{"subject_lure",
			"Something for nothing is the other way to be obeyed.",
			"advertising the reader asked for", func(f *facts) string {
				if f.list || isReply(f.subject) {
					return ""
				}
				if p := f.phrase("lure", f.subject); p != "" {
					return p
				}
				return f.phrase("lure", plain(f.doc.Mail.From.Name))
			}},
		{"credential_words",
			"Fraud must ask for what only the owner of an account knows, or for a visit to where it is asked.",
			"a service's own notice after the reader did something there", func(f *facts) string {
				if f.list || len(f.links)+len(f.doc.Email.Attachments) == 0 {
					return ""
				}
				return f.phrase("credential", f.body)
			}},
		{"advance_fee",
			"A stranger's offer of money must speak of a sum, a dead owner, secrecy, a bank and an agent; together they have no other use.",
			"a discussion of such letters, or a lawyer's real one", func(f *facts) string {
				if f.list || isReply(f.subject) {
					return ""
				}
				found := f.phrasesIn("advance_fee", f.body+" "+f.subject, 6)
				if len(found) >= 4 || len(found) == 3 && money.MatchString(f.body) {
					return strings.Join(found, ", ")
				}
				return ""
			}},
		{"extortion",
			"Extortion names a wallet and a threat.",
			"an article that quotes such a letter", func(f *facts) string {
				found := f.phrasesIn("extortion", f.body, 3)
				if len(found) < 2 {
					return ""
				}
				if w := wallet.FindString(mail.Truncate(f.doc.Mail.Body.Text, bodyRead)); w != "" {
					return w + ": " + strings.Join(found, ", ")
				}
				return ""
			}},
		{"recipient_merged",
			"Lists of stolen addresses hold no names, so the address itself is pasted in where a name would stand.",
			"a service that greets by address", recipientMerged},
		{"zero_width",
			"Invisible characters inside words are there so that filters do not read the words.",
			"text pasted from a web page with soft hyphens", func(f *facts) string {
				if n := f.doc.Mail.Body.ZeroWidth + zeroWidthIn(f.doc.Email.Subject) + zeroWidthIn(f.doc.Mail.From.Name); n >= 3 {
					return count(n, "invisible characters inside words")
				}
				return ""
			}},
		{"image_only_link",
			"A picture of text cannot be read by filters; a link under it is all the message is for.",
			"a flyer", func(f *facts) string {
				b := f.doc.Mail.Body
				if b.Images-b.Pixels < 1 || b.TextBytes > 120 || len(f.links) == 0 || f.list {
					return ""
				}
				return fmt.Sprintf("%d images, %d bytes of text", b.Images, b.TextBytes)
			}},
		{"password_form",
			"Nobody who has an account's password asks for it in a message.",
			"none known", func(f *facts) string {
				if f.doc.Mail.Body.Password == 0 || f.attachedForm() != "" {
					return ""
				}
				return "the message asks for a password"
			}},
	}
}

// wallet matches the forms of a Bitcoin address.
var wallet = regexp.MustCompile(`\b(bc1[a-z0-9]{25,60}|[13][a-km-zA-HJ-NP-Z1-9]{25,34})\b`)

// money matches a sum that strangers offer: six digits and more.
var money = regexp.MustCompile(`(us\$|\$|€|£|usd|eur|gbp|euro) ?[0-9]{1,3}([,.][0-9]{3}){1,}|[0-9]{1,3}([,.][0-9]{3}){2,}|\bmillions?\b`)

func recipientMerged(f *facts) string {
	if f.list {
		return ""
	}
	for _, to := range f.to {
		to = strings.ToLower(to)
		local, _, _ := strings.Cut(to, "@")
		if strings.Contains(f.subject, to) {
			return "the subject holds the recipient's address"
		}
		if strings.Contains(mail.Truncate(f.body, 300), to) {
			return "the greeting holds the recipient's address"
		}
		if len(local) >= 5 && hasWholeWord(f.subject, local) && !strings.Contains(f.body, "dear "+local) {
			return "the subject holds the recipient's mailbox name"
		}
		for _, u := range f.links {
			if i := strings.LastIndexByte(u.URL, '#'); i >= 0 && strings.Contains(strings.ToLower(u.URL[i:]), to) {
				return "a link's fragment holds the recipient's address"
			}
		}
	}
	return ""
}

func zeroWidthIn(s string) int {
	n := 0
	for _, r := range s {
		if mail.Invisible(r) {
			n++
		}
	}
	return n
}
