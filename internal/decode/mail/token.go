package mail

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// tokenizer cuts HTML that lies in memory into tags and what is between them,
// as the tokenizer of golang.org/x/net/html and so browsers do, a test holds it
// to that. It is several times as fast: it copies nothing, and reads attributes
// only when they are asked for.
type tokenizer struct {
	b   []byte
	at  int    // where the next token begins
	raw []byte // of the last token

	name        []byte // of the last tag, as it stands
	attrs       int    // where its attributes begin
	selfClosing bool
	rawTag      string // of the element whose content is text alone, which is open
}

type tokenKind uint8

const (
	tokenEnd     tokenKind = iota // or a tag that does not end
	tokenText                     // entities are not undone
	tokenStart                    // of an element
	tokenClose                    // of an element
	tokenComment                  // or a declaration
)

// next goes to the next token.
func (z *tokenizer) next() tokenKind {
	if z.rawTag != "" {
		end := z.at + rawEnd(z.b[z.at:], z.rawTag)
		z.rawTag = ""
		if end > z.at {
			return z.token(tokenText, end)
		}
	}
	for i := z.at; ; i++ {
		n := bytes.IndexByte(z.b[i:], '<')
		if n < 0 || i+n+1 == len(z.b) {
			break
		}
		i += n
		c := z.b[i+1]
		if !isLetter(c) && c != '/' && c != '!' && c != '?' {
			continue
		}
		if i > z.at {
			return z.token(tokenText, i)
		}
		if c == '/' && i+2 == len(z.b) {
			break
		}
		return z.markup(i)
	}
	if z.at == len(z.b) {
		return tokenEnd
	}
	return z.token(tokenText, len(z.b))
}

func (z *tokenizer) token(kind tokenKind, end int) tokenKind {
	z.raw, z.at = z.b[z.at:end], end
	return kind
}

// markup reads what begins with "<" at i.
func (z *tokenizer) markup(i int) tokenKind {
	switch c := z.b[i+1]; {
	case isLetter(c):
		return z.tag(tokenStart, i+1)
	case c == '/' && isLetter(z.b[i+2]):
		return z.tag(tokenClose, i+2)
	case c == '!' && bytes.HasPrefix(z.b[i:], []byte("<!--")):
		return z.token(tokenComment, i+4+commentEnd(z.b[i+4:]))
	}
	end := bytes.IndexByte(z.b[i:], '>')
	if end < 0 {
		return z.token(tokenComment, len(z.b))
	}
	return z.token(tokenComment, i+end+1)
}

// tag reads a tag whose name begins at i.
func (z *tokenizer) tag(kind tokenKind, i int) tokenKind {
	start := i
	for i < len(z.b) && !endsName(z.b[i]) {
		i++
	}
	z.name, z.attrs = z.b[start:i], i
	last := -1 // where the last attribute's value ends
	for {
		a, next := z.attr(i)
		if next < 0 {
			z.at = len(z.b)
			return tokenEnd
		}
		if i = next; a.done {
			break
		}
		if len(a.key) > 0 {
			last = a.end
		}
	}
	if kind == tokenStart {
		z.selfClosing = z.b[i-2] == '/' && last != i-1
		z.rawTag = rawElement(z.name)
	}
	return z.token(kind, i)
}

// attribute is a name and a value as they stand; end is where the value ends.
type attribute struct {
	key, value []byte
	end        int
	done       bool // it is none: the tag ends
}

// attr reads the attribute at i and returns where the next one begins, below 0
// where the tag does not end. A name is empty for a solidus that stands alone.
func (z *tokenizer) attr(i int) (a attribute, next int) {
	b := z.b
	if i = skipBlank(b, i); i == len(b) {
		return a, -1
	}
	if b[i] == '>' {
		a.done = true
		return a, i + 1
	}
	start := i
	for i < len(b) && !endsName(b[i]) && (b[i] != '=' || i == start) {
		i++
	}
	a.key, a.end = b[start:i], i
	if i = skipBlank(b, i); i == len(b) {
		return a, -1
	}
	switch b[i] {
	case '/':
		return a, i + 1
	case '=':
	default:
		return a, i
	}
	if i = skipBlank(b, i+1); i == len(b) {
		return a, -1
	}
	switch c := b[i]; c {
	case '>':
		return a, i
	case '"', '\'':
		n := bytes.IndexByte(b[i+1:], c)
		if n < 0 {
			return a, -1
		}
		a.value, a.end = b[i+1:i+1+n], i+1+n
		return a, i + n + 2
	}
	for start = i; i < len(b) && b[i] != '>' && !isBlank(b[i]); {
		i++
	}
	a.value, a.end = b[start:i], i
	return a, i
}

// tagAtom returns the last tag's name, 0 when it is none that is known.
func (z *tokenizer) tagAtom() atom.Atom {
	var name [16]byte
	if len(z.name) > len(name) {
		return 0
	}
	for i, c := range z.name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		name[i] = c
	}
	return atom.Lookup(name[:len(z.name)])
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' }

func endsName(c byte) bool { return c <= '>' && (c == '>' || c == '/' || isBlank(c)) }

func skipBlank(b []byte, i int) int {
	for i < len(b) && isBlank(b[i]) {
		i++
	}
	return i
}

// rawElement returns the name of an element whose content is text alone, else
// nothing.
func rawElement(name []byte) string {
	if len(name) < 3 || len(name) > 9 {
		return ""
	}
	for _, s := range [...]string{"iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "textarea", "title", "xmp"} {
		if len(s) == len(name) && foldEqual(name, s) {
			return s
		}
	}
	return ""
}

// foldEqual compares ASCII letters without their case; s is lower-case.
func foldEqual(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if b[i] != s[i] && (b[i] != s[i]-0x20 || !isLetter(b[i])) {
			return false
		}
	}
	return true
}

// rawEnd returns where the text within the element of that name ends.
func rawEnd(b []byte, name string) int {
	if name == "plaintext" {
		return len(b)
	}
	end := len(b)
	for i := 0; i < len(b); i += 2 {
		n := bytes.Index(b[i:], []byte("</"))
		if n < 0 {
			break
		}
		i += n
		if behind := i + 2 + len(name); behind < len(b) && foldEqual(b[i+2:behind], name) && endsName(b[behind]) {
			end = i
			break
		}
	}
	if name == "script" && bytes.Contains(b[:end], []byte("<!--")) {
		return scriptEnd(b)
	}
	return end
}

// scriptEnd is rawEnd for a script with a comment in it, in which an end tag
// may be hidden. The rules are of another time, and best left to who keeps them.
func scriptEnd(b []byte) int {
	z := html.NewTokenizer(io.MultiReader(strings.NewReader("<script>"), bytes.NewReader(b)))
	z.Next()
	if z.Next() != html.TextToken {
		return 0
	}
	return len(z.Raw())
}

// commentEnd returns where the comment ends whose content begins with b.
func commentEnd(b []byte) int {
	dashes, beginning := 0, true
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '-':
			dashes++
			continue
		case c == '>' && (dashes >= 2 || beginning):
			return i + 1
		case c == '!' && dashes >= 2:
			if i++; i == len(b) {
				return i
			}
			if b[i] == '>' {
				return i + 1
			}
			if b[i] == '-' {
				dashes, beginning = 1, false
				continue
			}
		}
		dashes, beginning = 0, false
	}
	return len(b)
}

// attrText returns an attribute's value with its entities undone.
func attrText(v []byte) string {
	if bytes.IndexByte(v, '\r') >= 0 {
		v = bytes.ReplaceAll(bytes.ReplaceAll(v, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	}
	if bytes.IndexByte(v, 0) >= 0 {
		v = bytes.ReplaceAll(v, []byte{0}, []byte("\uFFFD"))
	}
	if bytes.IndexByte(v, '&') < 0 {
		return string(v)
	}
	var out strings.Builder
	out.Grow(len(v))
	for {
		i := bytes.IndexByte(v, '&')
		if i < 0 {
			out.Write(v)
			return out.String()
		}
		out.Write(v[:i])
		text, n := entity(v[i:])
		out.WriteString(text)
		v = v[i+n:]
	}
}

// entity reads the character reference at the start of v and returns its text
// and length. Within attributes a name without a semicolon counts only when it
// is whole, and not before "=", because links are full of them.
func entity(v []byte) (text string, n int) {
	n = 1
	for n < len(v) && (isLetter(v[n]) || '0' <= v[n] && v[n] <= '9' || n == 1 && v[n] == '#') {
		n++
	}
	closed := n < len(v) && v[n] == ';'
	if closed {
		n++
	}
	s := string(v[:n])
	switch {
	case s == "&amp;":
		return "&", n
	case n == 1 || v[1] != '#' && !closed && n < len(v) && v[n] == '=':
		return s, n
	}
	text = html.UnescapeString(s)
	if v[1] == '#' || text == s || s == "&semi;" || s == "&fjlig;" {
		return text, n
	}
	if r := []rune(text); len(r) > 2 || r[len(r)-1] < utf8.RuneSelf && len(r) > 1 || strings.HasSuffix(text, ";") {
		return s, n // a part of the name was read, as it is outside of attributes
	}
	return text, n
}
