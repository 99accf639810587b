package mail

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlReader takes what a reader sees of HTML, and its links. It uses a
// tokenizer alone: building a tree costs more, and can be made to cost much
// more.
type htmlReader struct {
	tokenizer
	w      *walker
	source string // of links; URLHref, or URLAttachment for attached pages
	text   *textSink

	link     string // href of the open anchor
	linkText []byte
	skip     atom.Atom // inside an element whose text nobody sees
	hide     atom.Atom // inside an element styled away
	hideOpen int
}

// readHTML reads one part. text may be nil: then only links and counts are
// taken.
func (w *walker) readHTML(b []byte, source string, text *textSink) {
	if w.doc.Mail.URLs == nil {
		w.doc.Mail.URLs = make([]URL, 0, min(8+len(b)/192, w.limits.URLs))
	}
	r := htmlReader{tokenizer: tokenizer{b: b}, w: w, source: source, text: text}
	for n := 0; n&1023 != 1023 || !w.late(); n++ {
		switch r.next() {
		case tokenEnd:
			r.closeLink()
			return
		case tokenText:
			r.onText(r.raw)
		case tokenStart:
			r.onStart()
		case tokenClose:
			r.onEnd(r.tagAtom())
		}
	}
	r.closeLink()
}

// onText takes text; entities are undone where it is kept.
func (r *htmlReader) onText(t []byte) {
	if r.skip != 0 {
		return
	}
	if r.hide != 0 {
		r.w.doc.Mail.Body.Hidden += len(bytes.TrimSpace(t))
		return
	}
	if r.link != "" && len(r.linkText) < maxURLText {
		r.linkText = append(r.linkText, t...)
	}
	if r.text != nil {
		r.text.html(t)
	}
}

// attrs are the attributes that matter, of any element.
type attrs struct {
	href, src, action, kind, width, height, equiv, content string
	hidden                                                 bool
}

// readAttrs reads the last tag's. Of those with one name the first counts.
func (z *tokenizer) readAttrs() attrs {
	var a attrs
	var seen [len(wanted)]bool
	for i := z.attrs; ; {
		at, next := z.attr(i)
		if at.done || next < 0 {
			return a
		}
		i = next
		n := slices.IndexFunc(wanted[:], func(name string) bool { return foldEqual(at.key, name) })
		if n < 0 || seen[n] {
			continue
		}
		seen[n] = true
		switch wanted[n] {
		case "hidden":
			a.hidden = true
		case "style":
			a.hidden = a.hidden || styledAway([]byte(attrText(at.value)))
		case "href":
			a.href = attrText(at.value)
		case "src":
			a.src = attrText(at.value)
		case "action":
			a.action = attrText(at.value)
		case "type":
			a.kind = attrText(at.value)
		case "width":
			a.width = attrText(at.value)
		case "height":
			a.height = attrText(at.value)
		case "http-equiv":
			a.equiv = attrText(at.value)
		case "content":
			a.content = attrText(at.value)
		}
	}
}

var wanted = [...]string{"href", "src", "action", "style", "type", "width", "height", "http-equiv", "content", "hidden"}

// wantsAttrs reports whether an element's attributes say more than its style.
func wantsAttrs(tag atom.Atom) bool {
	switch tag {
	case atom.A, atom.Area, atom.Img, atom.Form, atom.Input, atom.Iframe, atom.Frame, atom.Meta:
		return true
	}
	return false
}

func (r *htmlReader) onStart() {
	tag := r.tagAtom()
	var a attrs
	if wantsAttrs(tag) || mayHide(r.raw) {
		a = r.readAttrs()
	}
	r.block(tag)
	body := &r.w.doc.Mail.Body
	switch tag {
	case atom.A, atom.Area:
		r.closeLink()
		if a.href != "" {
			r.link = a.href
		}
		if tag == atom.Area {
			r.closeLink()
		}
	case atom.Img:
		body.Images++
		if tiny(a.width) && tiny(a.height) {
			body.Pixels++
		}
		r.w.addURL(a.src, "", URLImage)
	case atom.Form:
		body.Forms++
		r.w.addURL(a.action, "", URLForm)
	case atom.Input:
		if strings.EqualFold(a.kind, "password") {
			body.Password++
		}
	case atom.Iframe, atom.Frame:
		r.w.addURL(a.src, "", URLFrame)
	case atom.Meta:
		if strings.EqualFold(a.equiv, "refresh") {
			if i := strings.IndexByte(a.content, '='); i >= 0 {
				r.w.addURL(strings.Trim(a.content[i+1:], ` '"`), "", URLRefresh)
			}
		}
	case atom.Script:
		body.Scripts++
	}
	if r.selfClosing || isVoid(tag) {
		return
	}
	switch tag {
	case atom.Script, atom.Style, atom.Title, atom.Template:
		r.skip = tag
	}
	switch {
	case r.hide != 0 && tag == r.hide:
		r.hideOpen++
	case r.hide == 0 && tag != atom.Body && tag != atom.Html && a.hidden:
		r.hide, r.hideOpen = tag, 1
	}
}

func (r *htmlReader) onEnd(tag atom.Atom) {
	r.block(tag)
	if tag == r.skip {
		r.skip = 0
	}
	if tag == atom.A {
		r.closeLink()
	}
	if r.hide != 0 && tag == r.hide {
		if r.hideOpen--; r.hideOpen <= 0 {
			r.hide = 0
		}
	}
}

func (r *htmlReader) closeLink() {
	if r.link == "" {
		return
	}
	text := string(r.linkText)
	if strings.IndexByte(text, '&') >= 0 {
		text = html.UnescapeString(text)
	}
	r.w.addURL(r.link, collapse(text), r.source)
	r.link = ""
	r.linkText = r.linkText[:0]
}

// mayHide reports whether a tag or style holds the end of a word that could
// hide: none, hidden, mso-hide, size, opacity, in any case. It may err to true.
func mayHide(b []byte) bool {
	for i := 2; i < len(b); i++ {
		switch b[i] | 0x20 {
		case 'e': // one, ide, ize
			if c, d := b[i-1]|0x20, b[i-2]|0x20; d == 'o' && c == 'n' || d == 'i' && (c == 'd' || c == 'z') {
				return true
			}
		case 'n': // den
			if b[i-1]|0x20 == 'e' && b[i-2]|0x20 == 'd' {
				return true
			}
		case 'y': // ity, which visibility has as well
			if b[i-1]|0x20 == 't' && b[i-2]|0x20 == 'i' {
				return true
			}
		}
	}
	return false
}

// collapse makes one blank of each run of white space.
func collapse(s string) string {
	s = strings.TrimSpace(s)
	if strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) && r != ' ' }) < 0 && !strings.Contains(s, "  ") {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

// block separates what a reader sees on different lines or in different cells.
func (r *htmlReader) block(tag atom.Atom) {
	if r.text == nil {
		return
	}
	switch tag {
	case atom.P, atom.Div, atom.Br, atom.Tr, atom.Li, atom.H1, atom.H2, atom.H3, atom.H4, atom.Table, atom.Hr, atom.Blockquote, atom.Center:
		r.text.space('\n')
	case atom.Td, atom.Th, atom.Img:
		r.text.space(' ')
	}
}

func isVoid(tag atom.Atom) bool {
	switch tag {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}

func tiny(s string) bool {
	s = strings.TrimSuffix(strings.TrimSpace(s), "px")
	return s == "0" || s == "1" || s == "2"
}

// styledAway reports whether an inline style hides the element's text. Nearly
// all styles hold none of the words that could, and are not looked at further.
func styledAway(style []byte) bool {
	if style = style[:min(len(style), 1024)]; !mayHide(style) {
		return false
	}
	s := strings.Map(func(r rune) rune {
		if r <= ' ' {
			return -1
		}
		return unicode.ToLower(r)
	}, string(style))
	for _, h := range [...]string{"display:none", "visibility:hidden", "font-size:0;", "font-size:0px", "opacity:0;", "mso-hide:all"} {
		if strings.Contains(s, h) {
			return true
		}
	}
	return strings.HasSuffix(s, "opacity:0") || strings.HasSuffix(s, "font-size:0")
}

// textSink collects visible text: runs of white space become one, invisible
// characters inside words are counted and dropped.
type textSink struct {
	b       []byte
	keep    int
	seen    int  // bytes, kept or not
	pending byte // white space not yet written
	prev    rune
	zero    int
	waiting int // invisible characters since prev
}

func (t *textSink) space(c byte) {
	if t.pending != '\n' {
		t.pending = c
	}
	t.prev, t.waiting = 0, 0
}

func (t *textSink) html(b []byte) {
	if bytes.IndexByte(b, '&') >= 0 {
		b = []byte(html.UnescapeString(string(b)))
	}
	t.write(b)
}

// write adds text. Lines of ASCII words with a blank between them, nearly all
// there is, go in as they are.
func (t *textSink) write(b []byte) {
	for i := 0; i < len(b); {
		c := b[i]
		if plain(c) {
			end, blanks := i+1, 0
			for end < len(b) {
				if plain(b[end]) {
					end++
				} else if b[end] == ' ' && end+1 < len(b) && plain(b[end+1]) {
					end, blanks = end+2, blanks+1
				} else {
					break
				}
			}
			t.seen -= blanks
			t.word(b[i:end], rune(c), rune(b[end-1]))
			i = end
			continue
		}
		if c < utf8.RuneSelf {
			i++
			if c == '\n' {
				t.space('\n')
			} else {
				t.space(' ')
			}
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case Invisible(r):
			t.waiting++
		case unicode.IsSpace(r):
			t.space(' ')
		default:
			t.word(b[i:i+n], r, r)
		}
		i += n
	}
}

// plain reports whether c is an ASCII character that is seen.
func plain(c byte) bool { return c > ' ' && c < 0x7f }

// grow makes room for what n bytes of text may give.
func (t *textSink) grow(n int) { t.b = slices.Grow(t.b, max(0, min(n, t.keep-len(t.b)))) }

// word adds bytes with at most single blanks between them; what is no UTF-8 is replaced.
func (t *textSink) word(b []byte, first, last rune) {
	if t.waiting > 0 {
		if wordRune(t.prev) && wordRune(first) {
			t.zero += t.waiting
		}
		t.waiting = 0
	}
	t.prev = last
	t.seen += len(b)
	if first == utf8.RuneError {
		b = []byte("\uFFFD")
	}
	if len(t.b)+1 >= t.keep {
		return
	}
	if t.pending != 0 && len(t.b) > 0 {
		t.b = append(t.b, t.pending)
	}
	t.pending = 0
	t.b = append(t.b, cutBytes(b, t.keep-len(t.b))...)
}

// cutBytes is Truncate for bytes.
func cutBytes(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && b[n]&0xC0 == 0x80 {
		n--
	}
	return b[:n]
}

// Invisible reports whether a character has no width: what phishing puts
// inside words so that filters do not read them.
func Invisible(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x180E, r == 0xFEFF:
		return true
	case 0x200B <= r && r <= 0x200F, 0x2060 <= r && r <= 0x2064, 0x202A <= r && r <= 0x202E:
		return true
	}
	return false
}

// wordRune reports whether a character is a letter of a script that has no use
// for joiners inside words.
func wordRune(r rune) bool {
	return unicode.In(r, unicode.Latin, unicode.Cyrillic, unicode.Greek)
}
