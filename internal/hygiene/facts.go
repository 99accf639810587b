package hygiene

import (
	"strings"

	"github.com/decodersring/decoder/internal/decode/mail"
)

// bodyRead is how much of a text the phrases are looked for in: what a
// message wants is said at its start.
const bodyRead = 16 << 10

// facts are what several checks need of a document, taken once.
type facts struct {
	doc   *mail.Document
	lists *Lists
	own   domains // own domains

	list    bool       // of a mailing list
	subject string     // plain
	body    string     // plain, the first of it
	name    string     // the display name, folded
	links   []mail.URL // that a reader can follow
	hosts   []mail.URL // of them, the first to each host
	to      []string   // recipients
	from    *brand     // whose domain the sender's is
}

func newFacts(doc *mail.Document, l *Lists, own domains) *facts {
	f := &facts{doc: doc, lists: l, own: own}
	f.list = doc.Mail.List.ID != "" || doc.Mail.Bulk && doc.Mail.List.Unsubscribe != ""
	f.subject = plain(doc.Email.Subject)
	f.body = plain(mail.Truncate(doc.Mail.Body.Text, bodyRead))
	f.name = l.fold(doc.Mail.From.Name)
	for _, u := range doc.Mail.URLs {
		switch u.Source {
		case mail.URLHref, mail.URLForm, mail.URLText, mail.URLRefresh, mail.URLFrame, mail.URLAttachment:
			f.links = append(f.links, u)
		}
	}
	seen := make(map[string]bool, len(f.links))
	for _, u := range f.links {
		if !seen[u.Domain] {
			seen[u.Domain] = true
			f.hosts = append(f.hosts, u)
		}
	}
	f.to = append(append(f.to, doc.Email.To.Address...), doc.Email.CC.Address...)
	f.to = append(f.to, doc.Mail.Envelope.To...)
	f.from = l.ownerOf(doc.Mail.From.Domain)
	return f
}

// ownerOf returns the brand a domain belongs to.
func (l *Lists) ownerOf(domain string) *brand {
	for s := domain; s != ""; {
		if i, ok := l.byDomain[s]; ok {
			return &l.brands[i]
		}
		i := strings.IndexByte(s, '.')
		if i < 0 {
			break
		}
		s = s[i+1:]
	}
	return nil
}

// owns reports whether a domain is one of the brand's or below it. A free mail
// provider's domain, which anyone has an address in, proves nothing.
func (l *Lists) owns(b *brand, domain string) bool {
	if l.freemail[domain] {
		return false
	}
	for _, d := range b.domains {
		if domain == d || strings.HasSuffix(domain, "."+d) {
			return true
		}
	}
	return false
}

// named returns the brand that a folded text presents itself as. Names that
// are words as well count only where whole says that the text is a name, and
// they are all of it beside words of an office.
func (l *Lists) named(text string, whole bool) *brand {
	if text == "" {
		return nil
	}
	var found *brand
	l.names.scan(text, func(n, end int) bool {
		if ends(text, end) {
			found = &l.brands[l.nameOf[n]]
		}
		return found == nil
	})
	if found != nil {
		return found
	}
	if !whole {
		return nil
	}
	for i := range l.brands {
		for _, w := range l.brands[i].whole {
			if rest, ok := strings.CutPrefix(text, w); ok && (rest == "" || !isWordByte(rest[0]) && l.onlyRoles(rest)) {
				return &l.brands[i]
			}
		}
	}
	return nil
}

// onlyRoles reports whether nothing stands in a name but words of an office.
func (l *Lists) onlyRoles(s string) bool {
	for w := range strings.FieldsFuncSeq(s, func(r rune) bool { return r < 0x80 && !isWordByte(byte(r)) }) {
		known := false
		for _, role := range l.phrases["role"] {
			if known = strings.HasPrefix(w, role) || strings.HasSuffix(role, " "+w) || strings.HasPrefix(role, w+" "); known {
				break
			}
		}
		if !known && w != "team" && w != "account" && w != "inc" && w != "com" && w != "de" && w != "online" {
			return false
		}
	}
	return true
}

// linksTo reports whether a link leads to one of the brand's domains.
func (f *facts) linksTo(b *brand) bool {
	for _, u := range f.links {
		if f.lists.owns(b, u.Domain) {
			return true
		}
	}
	return false
}

// phrase returns the first phrase of the kind in the text.
func (f *facts) phrase(kind, text string) string {
	found := ""
	m := f.lists.matchers[kind]
	m.scan(text, func(n, _ int) bool {
		found = m.phrases[n]
		return false
	})
	return found
}

// phrasesIn returns up to n different phrases of the kind in the text.
func (f *facts) phrasesIn(kind, text string, n int) []string {
	var out []string
	m := f.lists.matchers[kind]
	m.scan(text, func(i, _ int) bool {
		if !contains(out, m.phrases[i]) {
			out = append(out, m.phrases[i])
		}
		return len(out) < n
	})
	return out
}
