package mail

import (
	"bytes"
	"hash/maphash"
	"mime"
	"path"
	"slices"
	"strings"
	"time"
)

// walker goes over the parts of one message.
type walker struct {
	limits   Limits
	deadline time.Time
	now      func() time.Time
	doc      *Document
	defects  map[string]bool
	scan     int   // bytes of text that may still be searched
	hash     int64 // bytes of attachments that may still be hashed
	htmlText textSink
	plain    textSink
	hasHTML  bool
	seenURL  map[uint64]bool // hashes of their urlKey
	seed     maphash.Seed
	hosts    hosts
}

// urlKey is what makes a link another one.
type urlKey struct{ source, url, text string }

func (w *walker) report(defect string) { w.defects[defect] = true }

// late reports whether the message has used up its time.
func (w *walker) late() bool {
	if w.now().Before(w.deadline) {
		return false
	}
	w.report(DefectTime)
	return true
}

// content is what a part says of itself.
type content struct {
	media    string // "text/html"
	params   map[string]string
	encoding string
	attached bool
	name     string
}

func (w *walker) content(h header) content {
	c := content{media: "text/plain", encoding: h.get("Content-Transfer-Encoding")}
	if s := h.get("Content-Type"); s != "" {
		media, params, err := mime.ParseMediaType(s)
		if err != nil || !strings.Contains(media, "/") {
			w.report(DefectContentType)
			media, params = looseMediaType(s)
		}
		if media != "" {
			c.media = media
		}
		c.params = params
	}
	name := c.params["name"]
	if s := h.get("Content-Disposition"); s != "" {
		d, params, err := mime.ParseMediaType(s)
		if err != nil {
			d, params = looseMediaType(s)
		}
		c.attached = strings.EqualFold(d, "attachment")
		if f := params["filename"]; f != "" {
			name = f
		}
	}
	c.name = cleanName(decodeWords(name, w.report))
	return c
}

// looseMediaType reads what the strict reader refuses: a first word, then
// name=value, quoted or not.
func looseMediaType(s string) (string, map[string]string) {
	first, rest, _ := strings.Cut(s, ";")
	media := strings.ToLower(strings.TrimSpace(first))
	if i := strings.IndexAny(media, " \t,"); i >= 0 {
		media = media[:i]
	}
	params := map[string]string{}
	for rest != "" && len(params) < 50 {
		var k string
		var ok bool
		k, rest, ok = strings.Cut(rest, "=")
		if !ok {
			break
		}
		k = strings.ToLower(strings.Trim(k, " \t;"))
		rest = strings.TrimLeft(rest, " \t")
		var v string
		if strings.HasPrefix(rest, `"`) {
			v, rest, _ = strings.Cut(rest[1:], `"`)
		} else {
			i := strings.IndexAny(rest, "; \t")
			if i < 0 {
				i = len(rest)
			}
			v, rest = rest[:i], rest[i:]
		}
		if _, dup := params[k]; !dup && k != "" {
			params[k] = v
		}
	}
	return media, params
}

// cleanName keeps the last element of a file name, without control
// characters, at most 255 bytes.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.ReplaceAll(s, `\`, "/")
	if s == "" {
		return ""
	}
	return Truncate(path.Base(s), 255)
}

// part handles one part; parent is the media type of the multipart it is in.
func (w *walker) part(h header, body []byte, depth int, parent string) {
	w.doc.Mail.Parts++
	if w.late() {
		return
	}
	c := w.content(h)
	if h.get("Content-Type") == "" && parent == "multipart/digest" {
		c.media = "message/rfc822"
	}
	switch {
	case strings.HasPrefix(c.media, "multipart/"):
		w.multipart(c, body, depth)
	case c.media == "message/rfc822" || c.media == "message/global":
		w.message(c, body, depth)
	default:
		w.leaf(c, body)
	}
}

func (w *walker) multipart(c content, body []byte, depth int) {
	boundary := c.params["boundary"]
	if boundary == "" {
		w.report(DefectBoundaryMissing)
		w.leaf(content{media: "text/plain"}, body)
		return
	}
	if depth >= w.limits.Depth {
		w.report(DefectDepth)
		return
	}
	delimiter := append([]byte("--"), boundary...)
	any := false
	for rest := body; ; {
		part, next, end := nextPart(rest, delimiter, any)
		if part != nil {
			if w.doc.Mail.Parts >= w.limits.Parts {
				w.report(DefectParts)
				return
			}
			h, b := splitHeader(part, w.limits, w.report)
			w.part(h, b, depth+1, c.media)
		}
		if next == nil {
			if !any {
				w.report(DefectBoundaryMissing)
				w.leaf(content{media: "text/plain"}, body)
			} else if !end {
				w.report(DefectBoundaryEnd)
			}
			return
		}
		any, rest = true, next
	}
}

// nextPart returns what lies before the next delimiter line (nil where it is
// the preamble) and what follows that line; next is nil when there is none, or
// it was the closing one. A part without its closing delimiter runs to the end
// of what encloses it: the enclosing multipart was cut first.
func nextPart(b, delimiter []byte, inPart bool) (part, next []byte, end bool) {
	for at := 0; at < len(b); {
		i := bytes.Index(b[at:], delimiter)
		if i < 0 {
			break
		}
		i += at
		line, rest := cutLine(b[i+len(delimiter):])
		tail := bytes.TrimRight(line, " \t")
		closing := bytes.HasPrefix(tail, []byte("--"))
		if (i > 0 && b[i-1] != '\n') || !(len(tail) == 0 || closing) {
			at = i + len(delimiter)
			continue
		}
		if inPart {
			part = trimLineEnd(b[:i])
		}
		if closing {
			return part, nil, true
		}
		if rest == nil {
			rest = []byte{}
		}
		return part, rest, false
	}
	if inPart {
		return b, nil, false
	}
	return nil, nil, false
}

func trimLineEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return slices.Clip(b)
}

// message handles an attached message: it is an attachment, and what it
// carries is looked at as well.
func (w *walker) message(c content, body []byte, depth int) {
	body = decodeTransfer(body, c.encoding, w.report)
	w.attachment(c, body)
	if depth >= w.limits.Depth {
		w.report(DefectDepth)
		return
	}
	if w.doc.Mail.Parts >= w.limits.Parts {
		w.report(DefectParts)
		return
	}
	h, b := splitHeader(cutMboxLine(body), w.limits, w.report)
	w.part(h, b, depth+1, "message/rfc822")
}

func (w *walker) leaf(c content, body []byte) {
	isText := c.media == "text/plain" || c.media == "text/html"
	if !isText || c.attached || c.name != "" {
		data := decodeTransfer(body, c.encoding, w.report)
		w.attachment(c, data)
		if isText || isHTMLName(c.name) {
			w.attachedPage(c, data)
		}
		return
	}
	w.text(c, body)
}

func isHTMLName(name string) bool {
	n := strings.ToLower(name)
	return strings.HasSuffix(n, ".html") || strings.HasSuffix(n, ".htm") || strings.HasSuffix(n, ".shtml") || strings.HasSuffix(n, ".xhtml") || strings.HasSuffix(n, ".svg")
}

// text takes a part that is shown in line.
func (w *walker) text(c content, body []byte) {
	if w.scan <= 0 {
		w.report(DefectText)
		return
	}
	if most := 3 * w.scan; len(body) > most { // quoted-printable triples
		body = body[:most]
		w.report(DefectText)
	}
	data := decodeTransfer(body, c.encoding, w.report)
	if len(data) > w.scan {
		data = data[:w.scan]
		w.report(DefectText)
	}
	w.scan -= len(data)
	if bytes.IndexByte(data, 0) >= 0 {
		w.report(DefectNUL)
	}
	t, known := decodeText(data, c.params["charset"])
	if !known {
		w.report(DefectCharset)
	}
	if c.media == "text/html" {
		w.hasHTML = true
		w.doc.Mail.Body.HTMLBytes += len(t)
		w.htmlText.grow(len(t) / 3)
		w.readHTML(t, URLHref, &w.htmlText)
		w.htmlText.space('\n')
		return
	}
	w.plain.grow(len(t) + 1)
	w.plain.write(t)
	w.plain.space('\n')
	textURLs(t, func(u string) bool {
		w.addURL(u, "", URLText)
		return !w.defects[DefectURLs] && !w.late()
	})
}

// attachedPage takes the links of an attached text or page.
func (w *walker) attachedPage(c content, data []byte) {
	if w.scan <= 0 {
		return
	}
	if len(data) > w.scan {
		data = data[:w.scan]
	}
	w.scan -= len(data)
	t, _ := decodeText(data, c.params["charset"])
	if c.media == "text/html" || isHTMLName(c.name) {
		w.readHTML(t, URLAttachment, nil)
		return
	}
	textURLs(t, func(u string) bool {
		w.addURL(u, "", URLAttachment)
		return !w.defects[DefectURLs] && !w.late()
	})
}

func (w *walker) addURL(raw, text, source string) {
	if raw == "" {
		return
	}
	if len(w.doc.Mail.URLs) >= w.limits.URLs {
		w.report(DefectURLs)
		return
	}
	u, ok := newURL(raw, text, source, w.hosts)
	if !ok {
		return
	}
	u.URL, u.Text = valid(u.URL), valid(u.Text)
	// With a seed of its own nobody can make two links look like one.
	key := maphash.Comparable(w.seed, urlKey{source, u.URL, u.Text})
	if w.seenURL[key] {
		return
	}
	w.seenURL[key] = true
	w.doc.Mail.URLs = append(w.doc.Mail.URLs, u)
}
