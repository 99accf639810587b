package hygiene

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/decodersring/decoder/internal/decode/mail"
)

func senderChecks() []check {
	return []check{
		{"from_malformed",
			"Bulk fraud tools paste names and domains into the From field without quoting or checking; mail programs never do.",
			"a home-made script or an internal host without a full name", fromMalformed},
		{"brand_display",
			"Readers see the display name alone, so fraud puts a brand there and any address behind it.",
			"a reseller, a fan, or a service of the brand with a domain of its own; add the domain to brands.txt", brandDisplay},
		{"brand_claim",
			"A message in a brand's name that neither comes from the brand nor links to it speaks for somebody else.",
			"news about the brand, or a conversation about it", brandClaim},
		{"brand_links_elsewhere",
			"A forged sender address costs nothing, but the pages must be the forger's own: every link leads away from the brand that is said to write.",
			"the brand uses a mailing service that rewrites its links; a passed DMARC check takes this away", brandLinksElsewhere},
		{"lookalike_own",
			"A domain that reads like one's own is registered to deceive one's own people.",
			"the domain is yours: add it to the own domains", lookalikeOwn},
		{"lookalike_brand",
			"A sender's domain that reads like a brand's, or carries its name, is registered to be taken for it.",
			"a reseller or a domain of the brand; add it to brands.txt", lookalikeBrand},
		{"display_address",
			"An address in the display name is what phones show; the real one is hidden behind it.",
			"a list or a helpdesk that rewrites From and keeps the writer's address as name", displayAddress},
		{"display_role_freemail",
			"Offices write from their own domain, not from a mailbox anyone can open.",
			"a small business or club without a domain", displayRoleFreemail},
		{"mixed_script",
			"Letters of two scripts in one word are there to look like another word.",
			"names of products or formulas that mix Greek and Latin", func(f *facts) string {
				for _, s := range []string{f.doc.Mail.From.Name, f.doc.Email.Subject} {
					if mixedScript(s) {
						return quote(s)
					}
				}
				return ""
			}},
		{"styled_letters",
			"Letters from the mathematical and enclosed blocks read as text and match no filter's words.",
			"decoration in newsletters of the young", func(f *facts) string {
				for _, s := range []string{f.doc.Mail.From.Name, f.doc.Email.Subject} {
					if styledLetters(s) >= 4 {
						return quote(s)
					}
				}
				return ""
			}},
		{"sender_random",
			"Domains bought by the hundred are named by a program.",
			"an abbreviation that only its owner can read", func(f *facts) string {
				d := f.doc.Mail.From.Domain
				if random(mainLabel(d)) {
					return d
				}
				return ""
			}},
		{"sender_tld",
			"Domains that cost next to nothing are what is burnt in campaigns.",
			"a small sender who likes the name", func(f *facts) string {
				return f.cheapTLD(f.doc.Mail.From.Domain)
			}},
		{"sender_tenant",
			"An organisation that writes to customers has given its tenant a name; throw-away tenants keep the default one.",
			"a test system, or an organisation whose set-up is new", func(f *facts) string {
				d := f.doc.Mail.From.Domain
				if t := f.lists.tenants.match(d); t != "" && t != d {
					return d
				}
				return ""
			}},
		{"sender_numbered",
			"Free mailboxes opened by a program are numbered.",
			"someone whose name was taken", func(f *facts) string {
				local, _, _ := strings.Cut(f.doc.Mail.From.Address, "@")
				if !f.lists.freemail[f.doc.Mail.From.Domain] || !numbered.MatchString(local) {
					return ""
				}
				return local
			}},
		{"reply_to_other_mailbox",
			"Mailboxes that send fraud are closed within hours, so the answers go to another one.",
			"someone who collects his mail in one place", func(f *facts) string {
				if f.list || !f.lists.freemail[f.doc.Mail.From.Domain] {
					return ""
				}
				for _, m := range f.doc.Mail.ReplyTo {
					if f.lists.freemail[m.Domain] && !strings.EqualFold(m.Address, f.doc.Mail.From.Address) {
						return fmt.Sprintf("%s wants answers at another mailbox, %s", f.doc.Mail.From.Address, m.Address)
					}
				}
				return ""
			}},
		{"reply_to_differs",
			"The answer goes to someone else than the writer: needed where the sender is forged.",
			"a ticket system, or a list", replyToDiffers},
		{"reply_to_freemail",
			"Who forges an organisation's address takes the answers in a free mailbox.",
			"a club or small business that reads its mail there", replyToFreemail},
		{"from_is_recipient",
			"A message from oneself that one did not write passes by lists of known senders.",
			"a note to oneself, or a form on one's own site", fromIsRecipient},
	}
}

// numbered matches a local part with five digits or more in a row.
var numbered = regexp.MustCompile(`[a-z_.-][0-9]{5,}`)

func quote(s string) string { return fmt.Sprintf("%q", mail.Truncate(s, 120)) }

func fromMalformed(f *facts) string {
	m := f.doc.Mail.From.Malformed
	if len(m) == 0 {
		return ""
	}
	// A host without a dot is how one's own machines write.
	if len(m) == 1 && m[0] == mail.FromSingle && f.doc.Mail.Client == nil {
		return ""
	}
	// RFC 5322 allows several writers, if one is named as sender.
	if len(m) == 1 && m[0] == mail.FromSeveral && f.doc.Email.Sender != nil {
		return ""
	}
	return strings.Join(m, ", ") + ": " + quote(f.doc.Mail.From.Raw)
}

func brandDisplay(f *facts) string {
	b := f.lists.named(f.name, true)
	if b == nil || f.lists.owns(b, f.doc.Mail.From.Domain) || f.own.match(f.doc.Mail.From.Domain) != "" {
		return ""
	}
	return fmt.Sprintf("%s names %s, the address is %s", quote(f.doc.Mail.From.Name), b.name, f.doc.Mail.From.Address)
}

func brandClaim(f *facts) string {
	if f.list || len(f.links)+len(f.doc.Email.Attachments) == 0 || isReply(f.subject) || brandDisplay(f) != "" {
		return ""
	}
	local, _, _ := strings.Cut(f.doc.Mail.From.Address, "@")
	for _, claim := range []string{f.lists.fold(f.doc.Email.Subject), strings.NewReplacer(".", " ", "_", " ", "-", " ").Replace(strings.ToLower(local))} {
		b := f.lists.named(claim, false)
		if b != nil && f.from == nil && !f.linksTo(b) {
			return fmt.Sprintf("%s is named; neither sender nor link is %s's", b.name, b.name)
		}
	}
	if b := f.lists.speaksFor(f.lists.fold(mail.Truncate(f.doc.Mail.Body.Text, 4<<10))); b != nil && f.from == nil && !f.linksTo(b) {
		return fmt.Sprintf("the text speaks for %s; neither sender nor link is %s's", b.name, b.name)
	}
	return ""
}

// officeWords follow a brand's name where a text speaks for it.
var officeWords = [...]string{" customer", " user", " team", " support", " security", " account", " service", " kunde", " kunden", " cliente", " client", " klant"}

// speaksFor returns the brand that a salutation or signature names.
func (l *Lists) speaksFor(text string) *brand {
	var found *brand
	look := func(m *matcher, of []int) {
		m.scan(text, func(n, end int) bool {
			for _, o := range officeWords {
				if strings.HasPrefix(text[end:], o) {
					found = &l.brands[of[n]]
				}
			}
			return found == nil
		})
	}
	if look(l.names, l.nameOf); found == nil {
		look(l.wholes, l.wholeOf)
	}
	return found
}

func brandLinksElsewhere(f *facts) string {
	if f.from == nil || f.list || len(f.links) == 0 || f.doc.Mail.Auth.DMARC == "pass" ||
		f.lists.freemail[f.doc.Mail.From.Domain] || f.linksTo(f.from) || f.own.match(f.doc.Mail.From.Domain) != "" {
		return ""
	}
	return fmt.Sprintf("from %s, links to %s", f.doc.Mail.From.Domain, f.links[0].Domain)
}

func lookalikeOwn(f *facts) string {
	if len(f.own) == 0 {
		return ""
	}
	for _, d := range f.named() {
		if f.own.match(d) != "" {
			continue
		}
		for own := range f.own {
			if how := f.lists.lookalike(d, own, 4); how != "" {
				return fmt.Sprintf("%s is %s %s", d, how, own)
			}
		}
	}
	return ""
}

// named returns the domains a reader would take for the sender's.
func (f *facts) named() []string {
	out := []string{f.doc.Mail.From.Domain}
	for _, m := range f.doc.Mail.ReplyTo {
		out = append(out, m.Domain)
	}
	for _, u := range f.links {
		if len(out) < 50 && !slices.Contains(out, u.Domain) {
			out = append(out, u.Domain)
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// lookalike says how domain resembles known, "" when it does not. Names
// shorter than least are too easily one edit apart.
func (l *Lists) lookalike(domain, known string, least int) string {
	a, b := mainLabel(domain), mainLabel(known)
	if a == "" || b == "" || a == b || len(b) < least {
		return ""
	}
	return resembles(l.skeleton(a), l.skeleton(b), least)
}

// resembles compares two skeletons.
func resembles(a, b string, least int) string {
	if a == b {
		return "written like"
	}
	// Words are known by their first letter: who imitates one keeps it.
	if len(b) >= least+1 && len(a) >= least && a[0] == b[0] && oneEdit(a, b) {
		return "one letter from"
	}
	return ""
}

func lookalikeBrand(f *facts) string {
	d := f.doc.Mail.From.Domain
	if d == "" || f.from != nil || f.own.match(d) != "" || f.lists.freemail[d] {
		return ""
	}
	if b := f.lists.carries(d); b != nil {
		return fmt.Sprintf("%s carries the name of %s", d, b.name)
	}
	label := mainLabel(d)
	if label == "" {
		return ""
	}
	skeleton := f.lists.skeleton(label)
	for _, known := range f.lists.skeletons {
		if label == known.label || len(known.label) < 6 {
			continue
		}
		if how := resembles(skeleton, known.skeleton, 6); how != "" {
			return fmt.Sprintf("%s is %s %s", d, how, known.domain)
		}
	}
	return ""
}

// carries returns the brand whose name is a part of the registered label, or
// whose domain stands within the host, of a host that is not the brand's.
func (l *Lists) carries(host string) *brand {
	if l.ownerOf(host) != nil {
		return nil
	}
	label := mainLabel(host)
	for p := range strings.SplitSeq(label, "-") {
		if i, ok := l.carried[p]; ok && p != label {
			return &l.brands[i]
		}
	}
	for _, c := range l.long {
		if label != c.word && (strings.HasPrefix(label, c.word) || strings.HasSuffix(label, c.word)) {
			return &l.brands[c.brand]
		}
	}
	// A brand's whole domain within the host: "paypal.com.secure.example".
	for start := 0; start < len(host); {
		rest := host[start:]
		for end, dots := 0, 0; end < len(rest) && dots < 4; end++ {
			if rest[end] != '.' {
				continue
			}
			dots++
			if i, ok := l.byDomain[rest[:end]]; ok && end >= 7 {
				return &l.brands[i]
			}
		}
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			break
		}
		start += i + 1
	}
	return nil
}

func displayAddress(f *facts) string {
	name := f.doc.Mail.From.Name
	i := strings.IndexByte(name, '@')
	if i <= 0 || f.list {
		return ""
	}
	rest := name[i+1:]
	end := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if end >= 0 {
		rest = rest[:end]
	}
	d := mail.Domain(strings.Trim(rest, "."))
	shown, real := mail.RegisteredDomain(d), f.doc.Mail.From.RegisteredDomain
	if shown == "" || shown == real {
		return ""
	}
	return fmt.Sprintf("the name shows %s, the address is %s", d, f.doc.Mail.From.Address)
}

func displayRoleFreemail(f *facts) string {
	if !f.lists.freemail[f.doc.Mail.From.Domain] || f.list {
		return ""
	}
	if p := f.phrase("role", f.name); p != "" {
		return fmt.Sprintf("%s at %s", quote(f.doc.Mail.From.Name), f.doc.Mail.From.Domain)
	}
	return ""
}

func replyToDiffers(f *facts) string {
	if f.list {
		return ""
	}
	for _, m := range f.doc.Mail.ReplyTo {
		if m.RegisteredDomain != "" && m.RegisteredDomain != f.doc.Mail.From.RegisteredDomain {
			return fmt.Sprintf("answers go to %s, not %s", m.Domain, f.doc.Mail.From.Domain)
		}
	}
	return ""
}

func replyToFreemail(f *facts) string {
	if f.list || f.lists.freemail[f.doc.Mail.From.Domain] || f.doc.Mail.From.Domain == "" {
		return ""
	}
	for _, m := range f.doc.Mail.ReplyTo {
		if f.lists.freemail[m.Domain] {
			return fmt.Sprintf("answers go to %s, not %s", m.Domain, f.doc.Mail.From.Domain)
		}
	}
	return ""
}

func fromIsRecipient(f *facts) string {
	a := f.doc.Mail.From.Address
	if a == "" || f.doc.Mail.Client == nil || f.doc.Mail.Auth.DMARC == "pass" {
		return ""
	}
	for _, to := range f.doc.Email.To.Address {
		if strings.EqualFold(a, to) {
			return a
		}
	}
	return ""
}

func (f *facts) cheapTLD(domain string) string {
	for s := domain; ; {
		i := strings.IndexByte(s, '.')
		if i < 0 {
			return ""
		}
		if s = s[i+1:]; f.lists.tlds[s] && f.own.match(domain) == "" && f.lists.ownerOf(domain) == nil {
			return domain
		}
	}
}
