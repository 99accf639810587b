package mail_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene/auth"
	"github.com/decodersring/decoder/internal/hygiene/reputation"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/smtp"
)

// memory is a log that keeps what it is given.
type memory struct {
	mu      sync.Mutex
	records []*bus.Record
	came    chan struct{}
}

func (m *memory) Append(_ context.Context, r ...*bus.Record) error {
	m.mu.Lock()
	m.records = append(m.records, r...)
	m.mu.Unlock()
	m.came <- struct{}{}
	return nil
}

// nsd serves a root zone of the records given, and nothing else.
func nsd(t *testing.T, programs map[string]string, records string) (address string) {
	t.Helper()
	dir, port := folder(t), freePort(t)
	write(t, filepath.Join(dir, "zone"), "$ORIGIN .\n. 60 SOA ns. x. 1 60 60 60 60\n. 60 NS ns.\nns. 60 A 127.0.0.1\n"+records)
	write(t, filepath.Join(dir, "nsd.conf"), fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%d
  zonesdir: "%s"
  database: ""
  zonelistfile: "%[2]s/zones"
  xfrdfile: "%[2]s/xfrd"
  xfrdir: "%[2]s"
  pidfile: "%[2]s/pid"
  logfile: "%[2]s/log"
  username: ""
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "zone"
`, port, dir))
	address = fmt.Sprintf("127.0.0.1:%d", port)
	server(t, port, programs["nsd"], "-d", "-c", filepath.Join(dir, "nsd.conf"))
	return address
}

// txt writes a TXT record in strings of at most 200 bytes.
func txt(name, value string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. 60 TXT", name)
	for len(value) > 0 {
		n := min(200, len(value))
		fmt.Fprintf(&b, " %q", value[:n])
		value = value[n:]
	}
	return b.String() + "\n"
}

// opendkim signs for the domain; it returns its port and the DNS record.
func opendkim(t *testing.T, programs map[string]string, domain string) (port int, record string) {
	t.Helper()
	dir := folder(t)
	port = freePort(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	p := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(filepath.Join(dir, "key"), p, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "conf"), fmt.Sprintf(`Domain %s
Selector s1
KeyFile %s/key
Socket inet:%d@127.0.0.1
Mode s
Canonicalization relaxed/simple
InternalHosts 127.0.0.1
RequireSafeKeys no
Syslog no
PidFile %[2]s/pid
`, domain, dir, port))
	server(t, port, programs["opendkim"], "-f", "-x", filepath.Join(dir, "conf"))
	return port, txt("s1._domainkey."+domain, "v=DKIM1; k=rsa; p="+base64.StdEncoding.EncodeToString(pub))
}

func TestSignaturesPoliciesAndListsOverRealServers(t *testing.T) {
	programs := need(t, "postfix", "dovecot", "opendkim", "nsd")
	milterPort, record := opendkim(t, programs, "signed.test")
	dns := nsd(t, programs, record+
		txt("signed.test", "v=spf1 ip4:198.51.100.0/24 -all")+
		txt("_dmarc.signed.test", "v=DMARC1; p=reject")+
		"9.113.0.203.bl.test. 60 A 127.0.0.2\n8.113.0.203.bl.test. 60 A 127.255.255.254\nbad.example.dbl.test. 60 A 127.0.1.4\n")
	log := &memory{came: make(chan struct{}, 10)}
	src, err := smtp.New(smtp.Config{Listen: "lmtp://127.0.0.1:0"}, log, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- src.Run(ctx) }()
	lmtp := netip.MustParseAddrPort((<-src.Ready()).String()).Port()
	o := postfixOptions{smtp: freePort(t), mailbox: int(lmtp), milter: fmt.Sprintf("inet:127.0.0.1:%d", milterPort)}
	postfix(t, programs, o)
	letter := "Date: Tue, 3 Mar 2026 09:15:02 +0100\r\nFrom: ada@signed.test\r\nTo: bob@example.test\r\nSubject: signed\r\nMessage-ID: <1@signed.test>\r\n\r\nHello, pay 100.\r\n"
	if err := send(o.smtp, "ada@signed.test", letter); err != nil {
		t.Fatal(err)
	}
	select {
	case <-log.came:
	case <-time.After(30 * time.Second):
		t.Fatal("the message did not come")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	raw := log.records[0].Value
	if !bytes.Contains(raw, []byte("DKIM-Signature:")) {
		t.Fatalf("not signed: %s", raw)
	}
	if mail.Identity(raw) != mail.Identity([]byte(letter)) {
		t.Error("the signature changed the message's identity")
	}
	c := auth.New(auth.NewResolver(dns), 5*time.Second)
	for _, tt := range []struct {
		name             string
		raw              []byte
		client           string
		spf, dkim, dmarc string
	}{
		{"from its own host", raw, "198.51.100.7", "pass", "pass", "pass"},
		{"forwarded", raw, "203.0.113.1", "fail", "pass", "pass"},
		{"LF alone", bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), "198.51.100.7", "pass", "pass", "pass"},
		{"changed on the way, forwarded", bytes.Replace(raw, []byte("pay 100"), []byte("pay 900"), 1), "203.0.113.1", "fail", "fail", "fail"},
		{"forged", []byte("From: ada@signed.test\r\n\r\nHello\r\n"), "203.0.113.1", "fail", "", "fail"},
		{"a domain without records", []byte("From: ada@unsigned.test\r\n\r\nHello\r\n"), "203.0.113.1", "none", "", "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from := "ada@signed.test"
			if tt.spf == "none" {
				from = "ada@unsigned.test"
			}
			doc := mail.Decode(tt.raw, mail.Delivery{From: from, HELO: "x.test", ClientIP: netip.MustParseAddr(tt.client)}, mail.Options{})
			a := c.Check(t.Context(), tt.raw, doc)
			dkim := ""
			if len(a.DKIM) > 0 {
				dkim = a.DKIM[0].Result
			}
			if a.SPF != tt.spf || dkim != tt.dkim || a.DMARC != tt.dmarc || !a.Trusted {
				t.Errorf("%+v", a)
			}
		})
	}
	t.Run("a DNS that is gone is a temporary error", func(t *testing.T) {
		doc := mail.Decode(raw, mail.Delivery{From: "ada@signed.test", ClientIP: netip.MustParseAddr("198.51.100.7")}, mail.Options{})
		a := auth.New(auth.NewResolver("127.0.0.1:1"), 2*time.Second).Check(t.Context(), raw, doc)
		if a.SPF != "temperror" || a.DMARC != "temperror" || len(a.DKIM) != 1 || a.DKIM[0].Result != "temperror" {
			t.Errorf("%+v", a)
		}
	})
	lists(t, dns)
}

// lists asks block lists over the same server.
func lists(t *testing.T, dns string) {
	r := auth.NewResolver(dns).(reputation.Resolver)
	for _, tt := range []struct {
		zone, value, verdict string
		kind                 reputation.Kind
	}{
		{"bl.test", "203.0.113.9", reputation.Bad, reputation.IP},
		{"bl.test", "203.0.113.10", reputation.Unknown, reputation.IP},
		{"bl.test", "203.0.113.8", "", reputation.IP}, // an error, never a listing
		{"dbl.test", "bad.example", reputation.Bad, reputation.Domain},
	} {
		p, err := reputation.DNSBL(reputation.DNSBLConfig{Name: "test", Zone: tt.zone, Kind: tt.kind}, r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Ask(t.Context(), tt.kind, tt.value)
		if got.Verdict != tt.verdict || (err != nil) != (tt.verdict == "") {
			t.Errorf("%s: %+v, %v", tt.value, got, err)
		}
	}
}
