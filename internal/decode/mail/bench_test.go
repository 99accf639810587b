package mail_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode/mail"
)

// letter20K is a message as newsletters and offices send them.
func letter20K(n int) []byte {
	var text, html, pic strings.Builder
	for i := range 51 {
		fmt.Fprintf(&text, "Paragraph %d of message %d says nothing of note, at some length, as paragraphs do.\r\n", i, n)
		fmt.Fprintf(&html, "<tr><td style=3D\"font-family:sans-serif;color:#333\"><p>Paragraph %d of <b>message</b> %d, see =\r\n<a href=3D\"https://www.example.org/a/%d?m=3D%d\">the page</a> for more.</p></td></tr>\r\n", i, n, i, n)
	}
	for range 77 {
		pic.WriteString(strings.Repeat("iVBORw0KGgoAAAANSUhEUgAA", 3) + "\r\n")
	}
	return fmt.Appendf(nil, "Received: from mail.example.org (mail.example.org [198.51.100.7]) by mx1.example.com; Tue, 03 Mar 2026 09:15:02 +0100\r\nDate: Tue, 3 Mar 2026 08:14:58 +0000\r\nFrom: =?utf-8?Q?Gem=C3=BCse?= <news@example.org>\r\nTo: ada@example.com\r\nSubject: Message %d\r\nMessage-ID: <%d@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"o\"\r\n\r\n--o\r\nContent-Type: multipart/alternative; boundary=\"i\"\r\n\r\n--i\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n--i\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html><body><table>%s</table></body></html>\r\n--i--\r\n--o\r\nContent-Type: image/png; name=p.png\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--o--\r\n",
		n, n, text.String(), html.String(), pic.String())
}

func BenchmarkDecode20K(b *testing.B) {
	raw := letter20K(1)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := json.Marshal(mail.Decode(raw, mail.Delivery{}, mail.Options{})); err != nil {
			b.Fatal(err)
		}
	}
}
