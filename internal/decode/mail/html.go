package mail

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlReader takes what a reader sees of HTML, and its links. It uses the
// tokenizer alone: building a tree costs more, and can be made to cost much
// more.
type htmlReader struct {
	w      *walker
	source string // of links; URLHref, or URLAttachment for attached pages
	text   *textSink

	link     string // href of the open anchor
	linkText strings.Builder
	skip     atom.Atom // inside an element whose text nobody sees
	hide     atom.Atom // inside an element styled away
	hideOpen int
}

// readHTML reads one part. text may be nil: then only links and counts are
// taken.
func (w *walker) readHTML(b []byte, source string, text *textSink) {
	r := htmlReader{w: w, source: source, text: text}
	z := html.NewTokenizer(bytes.NewReader(b))
	z.SetMaxBuf(w.limits.TextScan + 4096)
	for n := 0; ; n++ {
		if n&1023 == 1023 && w.late() {
			break
		}
		switch z.Next() {
		case html.ErrorToken:
			r.closeLink()
			return
		case html.TextToken:
			r.onText(z)
		case html.StartTagToken:
			r.onStart(z, false)
		case html.SelfClosingTagToken:
			r.onStart(z, true)
		case html.EndTagToken:
			r.onEnd(tagOf(z.Raw()))
		}
	}
	r.closeLink()
}

func (r *htmlReader) onText(z *html.Tokenizer) {
	if r.skip != 0 {
		return
	}
	t := z.Raw() // entities are undone where the text is kept; Text copies
	if r.hide != 0 {
		r.w.doc.Mail.Body.Hidden += len(bytes.TrimSpace(t))
		return
	}
	if r.link != "" && r.linkText.Len() < maxURLText {
		r.linkText.Write(t)
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

func readAttrs(z *html.Tokenizer) attrs {
	var a attrs
	for range 200 {
		k, v, more := z.TagAttr()
		switch string(k) {
		case "href":
			a.href = string(v)
		case "src":
			a.src = string(v)
		case "action":
			a.action = string(v)
		case "style":
			a.hidden = a.hidden || styledAway(v)
		case "type":
			a.kind = string(v)
		case "width":
			a.width = string(v)
		case "height":
			a.height = string(v)
		case "http-equiv":
			a.equiv = string(v)
		case "content":
			a.content = string(v)
		case "hidden":
			a.hidden = true
		}
		if !more {
			break
		}
	}
	return a
}

// tagOf returns a tag's atom from its raw bytes: the tokenizer's own way
// copies the name.
func tagOf(raw []byte) atom.Atom {
	i := 1
	if len(raw) > 1 && raw[1] == '/' {
		i = 2
	}
	var name [16]byte
	n := 0
	for ; i < len(raw); i++ {
		c := raw[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c <= ' ' || c == '/' || c == '>' {
			break
		}
		if n == len(name) {
			return 0
		}
		name[n] = c
		n++
	}
	return atom.Lookup(name[:n])
}

// wantsAttrs reports whether an element's attributes say more than its style.
func wantsAttrs(tag atom.Atom) bool {
	switch tag {
	case atom.A, atom.Area, atom.Img, atom.Form, atom.Input, atom.Iframe, atom.Frame, atom.Meta:
		return true
	}
	return false
}

func (r *htmlReader) onStart(z *html.Tokenizer, selfClosing bool) {
	raw := z.Raw()
	tag := tagOf(raw)
	var a attrs
	if wantsAttrs(tag) || mayHide(raw) {
		a = readAttrs(z)
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
	if selfClosing || isVoid(tag) {
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
	text := r.linkText.String()
	if strings.IndexByte(text, '&') >= 0 {
		text = html.UnescapeString(text)
	}
	r.w.addURL(r.link, collapse(text), r.source)
	r.link = ""
	r.linkText.Reset()
}

// mayHide reports whether a tag or style holds a word that could hide.
func mayHide(b []byte) bool {
	for _, w := range [...]string{"one", "ONE", "idden", "IDDEN", "-hide", "-HIDE", "ize", "IZE", "pacity", "PACITY"} {
		if bytes.Contains(b, []byte(w)) {
			return true
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

// write adds text. Runs of ASCII, nearly all there is, go in as they are.
func (t *textSink) write(b []byte) {
	for i := 0; i < len(b); {
		c := b[i]
		if c > ' ' && c < 0x7f {
			end := i + 1
			for end < len(b) && b[end] > ' ' && b[end] < 0x7f {
				end++
			}
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

// word adds bytes without white space; what is no UTF-8 is replaced.
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
