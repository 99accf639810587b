package mail

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// FuzzTokenizer holds the tokenizer to that of golang.org/x/net/html.
func FuzzTokenizer(f *testing.F) {
	for _, s := range []string{
		`<p style="a>b" CLASS='c' x=y/>text &amp; more</p><br/><img src=//x.example/a?b=1&c=2>`,
		`a<b<3 <</ </> </ > <?xml v?><!doctype html><!-- c --><!--><!---><!----!><!-- x --!> y <!-- - -- -->z`,
		`<title>a</titl></TITLE x><textarea></textarea ><style>p<b></style/>t<xmp></xmp><noscript><a></noscript>`,
		`<script>if (a</b) "</script";</script><script><!-- <script></script> --></script>x<plaintext></plaintext>`,
		`<a href="?a&copy=1&lt;&amp;&notit;&#39;&#x26;&copy&ampx&fjlig;&semi;&bne;&#0;&" href=2 =x="1" / b=>`,
		"<a\fb\r\n=\t'\r\nx\ry'\x00>\x80<\xff><A HREF=\"x\">",
		`<a b="c`, `<a b=c`, `<a b`, `<a `, `<a`, `<`, `</`, `</a`, `<!`, `<!-`, `<!--`, `<!-->`, `<title>`, `<title></titl`, `<script><!--`,
		`<a/b/c=/d></a/b="c>">`, `<p a=/>`, `<p a= />`, `<p / >`, `<p/ />`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { sameTokens(t, b) })
}

func sameTokens(t *testing.T, b []byte) {
	kinds := map[html.TokenType]tokenKind{
		html.ErrorToken: tokenEnd, html.TextToken: tokenText, html.StartTagToken: tokenStart,
		html.SelfClosingTagToken: tokenStart, html.EndTagToken: tokenClose, html.CommentToken: tokenComment, html.DoctypeToken: tokenComment,
	}
	want, got := html.NewTokenizer(bytes.NewReader(b)), tokenizer{b: b}
	for {
		kind := want.Next()
		if k := got.next(); k != kinds[kind] {
			t.Fatalf("%q: token %d, want %v %q", b, k, kind, want.Raw())
		}
		if kind == html.ErrorToken {
			return
		}
		if !bytes.Equal(got.raw, want.Raw()) {
			t.Fatalf("%q: token %q, want %q", b, got.raw, want.Raw())
		}
		if kind == html.StartTagToken || kind == html.SelfClosingTagToken || kind == html.EndTagToken {
			sameTag(t, b, want, &got, kind)
		}
	}
}

func sameTag(t *testing.T, b []byte, want *html.Tokenizer, got *tokenizer, kind html.TokenType) {
	if name, _ := want.TagName(); string(name) != lowered(got.name) {
		t.Fatalf("%q: name %q, want %q", b, got.name, name)
	}
	if kind == html.EndTagToken {
		return
	}
	var attrs []attribute
	seen, repeated := map[string]bool{}, false
	for i := got.attrs; ; {
		a, next := got.attr(i)
		if a.done {
			break
		}
		i = next
		switch key := lowered(a.key); {
		case seen[key]:
			repeated = true
		case len(a.key) > 0:
			seen[key] = true
			attrs = append(attrs, a)
		}
	}
	for _, a := range attrs {
		k, v, _ := want.TagAttr()
		if lowered(a.key) != string(k) || attrText(a.value) != string(v) {
			t.Fatalf("%q: attribute %q=%q, want %q=%q", b, a.key, attrText(a.value), k, v)
		}
	}
	if k, _, more := want.TagAttr(); k != nil || more {
		t.Fatalf("%q: an attribute %q is missing", b, k)
	}
	if closing := kind == html.SelfClosingTagToken; !repeated && closing != got.selfClosing {
		t.Fatalf("%q: self-closing %v, want %v", b, got.selfClosing, closing)
	}
}

// lowered lowers ASCII letters alone, and shows NUL as the other does.
func lowered(b []byte) string {
	out := bytes.ReplaceAll(b, []byte{0}, []byte("\uFFFD"))
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 0x20
		}
	}
	return string(out)
}

func FuzzAttributeText(f *testing.F) {
	for _, s := range []string{"a&amp;b=1&copy=2", "&notin;&notit;&not", "&#x80;&#xD800;&#99999999999;&#;&#x;&#12a;", "&fjlig;&semi;&bne;&AMP&lt"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, `"`) {
			return
		}
		z := html.NewTokenizer(strings.NewReader(`<a b="` + s + `">`))
		z.Next()
		if _, v, _ := z.TagAttr(); string(v) != attrText([]byte(s)) {
			t.Fatalf("%q: got %q, want %q", s, attrText([]byte(s)), v)
		}
	})
}
