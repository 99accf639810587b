package hygiene

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/decodersring/decoder/internal/decode/mail"
)

func linkChecks() []check {
	return []check{
		{"url_shortener",
			"A short address hides where it leads from reader and filter, and can be turned elsewhere later.",
			"social networks and newsletters that shorten all their links", func(f *facts) string {
				return f.anyHost(func(u mail.URL) string { return f.lists.shorteners.match(u.Domain) })
			}},
		{"url_tld",
			"Domains that cost next to nothing are what is burnt in campaigns.",
			"a small site whose owner likes the name", func(f *facts) string {
				return f.anyHost(func(u mail.URL) string { return f.cheapTLD(u.Domain) })
			}},
		{"url_hosting",
			"A page on free hosting carries a good name, costs nothing and needs no identity.",
			"a small site, a shared document, a form of one's own", func(f *facts) string {
				if f.list {
					return ""
				}
				return f.anyHost(func(u mail.URL) string {
					if f.from != nil && f.lists.owns(f.from, u.Domain) || sameSite(u.Domain, f.doc.Mail.From.Domain) {
						return ""
					}
					return f.lists.hosting.match(u.Domain)
				})
			}},
		{"url_address",
			"A link to a bare address, or to the name a provider gives it, needs no domain that could be taken away.",
			"a device on one's own network", func(f *facts) string {
				return f.anyHost(func(u mail.URL) string {
					if a, err := netip.ParseAddr(u.Domain); err == nil && !a.IsPrivate() && !a.IsLoopback() || defaultHost.MatchString(u.Domain) {
						return u.Domain
					}
					return ""
				})
			}},
		{"url_userinfo",
			"What stands before an @ in a link is shown first and means nothing.",
			"an old FTP link", func(f *facts) string {
				return f.anyLink(func(u mail.URL) string {
					_, rest, ok := strings.Cut(u.URL, "://")
					if i := strings.IndexAny(rest, "/?#"); i >= 0 {
						rest = rest[:i]
					}
					if ok && strings.IndexByte(rest, '@') > 0 && u.Source != mail.URLText {
						return u.Domain
					}
					return ""
				})
			}},
		{"url_data",
			"A link that is a whole page or program in itself leaves nothing to block.",
			"none known in mail", func(f *facts) string {
				return f.anyLink(func(u mail.URL) string {
					if strings.HasPrefix(strings.ToLower(u.URL), "data:text") || u.Source != mail.URLText && strings.HasPrefix(strings.ToLower(u.URL), "javascript:") && len(u.URL) > 60 {
						return mail.Truncate(u.URL, 60)
					}
					return ""
				})
			}},
		{"url_redirector",
			"A redirect of a well-known site carries its good name and leads anywhere.",
			"a link copied from a page of search results", func(f *facts) string {
				return f.anyLink(func(u mail.URL) string { return f.lists.redirector(u) })
			}},
		{"url_obfuscated",
			"Letters and digits need no escape in a link; escaped they only hide words from filters.",
			"none known", func(f *facts) string {
				return f.anyLink(func(u mail.URL) string {
					if escapedLetters(u.URL) >= 4 {
						return mail.Truncate(u.URL, 100)
					}
					return ""
				})
			}},
		{"url_brand_host",
			"A host that carries a brand's name, or its whole domain as a part, is named to be taken for it.",
			"a reseller or a domain of the brand; add it to brands.txt", func(f *facts) string {
				return f.anyHost(func(u mail.URL) string {
					if f.own.match(u.Domain) != "" || sameSite(u.Domain, f.doc.Mail.From.Domain) && f.from == nil {
						return ""
					}
					if b := f.lists.carries(u.Domain); b != nil {
						return u.Domain + " carries the name of " + b.name
					}
					return ""
				})
			}},
		{"anchor_mismatch",
			"The reader is shown one address and taken to another.",
			"a mailing service that counts clicks", anchorMismatch},
		{"url_random",
			"Domains bought by the hundred are named by a program.",
			"an abbreviation that only its owner can read", func(f *facts) string {
				return f.anyHost(func(u mail.URL) string {
					if random(mainLabel(u.Domain)) && f.lists.ownerOf(u.Domain) == nil {
						return u.Domain
					}
					return ""
				})
			}},
	}
}

// anyHost returns what the first host gives for which find gives anything.
func (f *facts) anyHost(find func(mail.URL) string) string {
	for _, u := range f.hosts {
		if s := find(u); s != "" {
			return s
		}
	}
	return ""
}

// anyLink returns what the first link gives for which find gives anything.
func (f *facts) anyLink(find func(mail.URL) string) string {
	for _, u := range f.links {
		if s := find(u); s != "" {
			return s
		}
	}
	return ""
}

// sameSite reports whether two domains have the same registered domain.
func sameSite(a, b string) bool {
	ra, rb := mail.RegisteredDomain(a), mail.RegisteredDomain(b)
	return a == b || ra != "" && ra == rb
}

func anchorMismatch(f *facts) string {
	if f.list {
		return ""
	}
	for _, u := range f.links {
		if u.Source != mail.URLHref || u.Text == "" || strings.IndexByte(u.Text, '@') >= 0 {
			continue
		}
		shown := mail.RegisteredDomain(shownHost(u.Text))
		if shown == "" || u.RegisteredDomain == shown || u.Domain == "" {
			continue
		}
		// Two domains of one owner are no mismatch.
		if b := f.lists.ownerOf(shown); b != nil && f.lists.owns(b, u.Domain) {
			continue
		}
		// Links by way of the sender's own domain are counted, not disguised.
		if sameSite(u.Domain, f.doc.Mail.From.Domain) {
			continue
		}
		return fmt.Sprintf("%s leads to %s", shown, u.Domain)
	}
	return ""
}

// shownHost returns the host when a link's text is an address, else "".
func shownHost(text string) string {
	t := strings.ToLower(strings.TrimSpace(text))
	for _, p := range [...]string{"https://", "http://"} {
		t = strings.TrimPrefix(t, p)
	}
	if i := strings.IndexAny(t, "/?#:"); i >= 0 {
		t = t[:i]
	}
	if strings.ContainsAny(t, " \t") || strings.IndexByte(t, '.') < 0 {
		return ""
	}
	return mail.Domain(t)
}

// defaultHost matches names made of an address, as providers give them.
var defaultHost = regexp.MustCompile(`(^|[^0-9])([0-9]{1,3}[-.]){3}[0-9]{1,3}[-.]`)

// redirector returns the host of a known redirect to another site.
func (l *Lists) redirector(u mail.URL) string {
	starts, ok := l.redirects[strings.TrimPrefix(u.Domain, "www.")]
	if !ok {
		return ""
	}
	_, rest, _ := strings.Cut(u.URL, "://")
	path := "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		path = strings.ToLower(rest[i:])
	}
	for _, s := range starts {
		if strings.HasPrefix(path, s) && len(path) > len(s)+1 {
			return u.Domain
		}
	}
	return ""
}

// escapedLetters counts percent escapes of letters and digits.
func escapedLetters(s string) int {
	n := 0
	for i := 0; i+2 < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err == nil && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			n++
		}
	}
	return n
}
