package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/decodersring/decoder/internal/broker"
)

const loopback = "127.0.0.1:0"

// property reads a line of client.properties.
func property(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "client.properties"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return v
		}
	}
	t.Fatalf("client.properties has no %s", name)
	return ""
}

func ping(t *testing.T, addr string, m sasl.Mechanism, opts ...kgo.Opt) error {
	t.Helper()
	opts = append(opts, kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.DialTimeout(5*time.Second))
	if m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_, err = kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), cl)
	return err
}

func TestOnlyWhoKnowsThePasswordGetsIn(t *testing.T) {
	dir := t.TempDir()
	r := start(t, broker.Config{DataDir: dir, Listen: loopback})
	addr := r.Addr().String()
	if st, err := os.Stat(filepath.Join(dir, "client.properties")); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("client.properties: %v, %v", st.Mode(), err)
	}
	if got := property(t, dir, "bootstrap.servers"); got != addr {
		t.Errorf("client.properties says %s, the broker is at %s", got, addr)
	}
	good := scram.Auth{User: property(t, dir, "sasl.username"), Pass: property(t, dir, "sasl.password")}
	bad := scram.Auth{User: good.User, Pass: "wrong"}
	unknown := scram.Auth{User: "nobody", Pass: good.Pass}
	for _, c := range []struct {
		name string
		m    sasl.Mechanism
		ok   bool
	}{
		{"SHA-256", good.AsSha256Mechanism(), true},
		{"SHA-512", good.AsSha512Mechanism(), true},
		{"no sign-in", nil, false},
		{"wrong password", bad.AsSha256Mechanism(), false},
		{"wrong password, SHA-512", bad.AsSha512Mechanism(), false},
		{"empty password", scram.Auth{User: good.User, Pass: " "}.AsSha256Mechanism(), false},
		{"unknown user", unknown.AsSha256Mechanism(), false},
		{"PLAIN", plain.Auth{User: good.User, Pass: good.Pass}.AsMechanism(), false},
	} {
		if err := ping(t, addr, c.m); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A new password counts at once; who knows only the old one stays out.
	if err := broker.SetPassword(dir, good.User, "new one"); err != nil {
		t.Fatal(err)
	}
	if err := ping(t, addr, good.AsSha256Mechanism()); err == nil {
		t.Error("the old password still works")
	}
	if err := ping(t, addr, scram.Auth{User: good.User, Pass: "new one"}.AsSha512Mechanism()); err != nil {
		t.Errorf("the new password: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "credentials.json"))
	if err != nil || strings.Contains(string(b), "new one") {
		t.Errorf("credentials hold the password, or %v", err)
	}
}

// Two brokers ask a stranger for different salts: it takes more than this
// program's source to tell that there is no such user.
func TestNobodyCanTellAStrangersSalt(t *testing.T) {
	var asked []string
	for range 2 {
		r := start(t, broker.Config{Listen: loopback})
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		hello := kmsg.NewPtrSASLHandshakeRequest()
		hello.Version, hello.Mechanism = 1, "SCRAM-SHA-256"
		first := kmsg.NewPtrSASLAuthenticateRequest()
		first.SASLAuthBytes = []byte("n,,n=stranger,r=0123456789")
		f := kmsg.NewRequestFormatter()
		var answer []byte
		for _, req := range []kmsg.Request{hello, first} {
			if _, err := c.Write(f.AppendRequest(nil, req, 1)); err != nil {
				t.Fatal(err)
			}
			head := make([]byte, 4)
			if _, err := io.ReadFull(c, head); err != nil {
				t.Fatal(err)
			}
			answer = make([]byte, binary.BigEndian.Uint32(head))
			if _, err := io.ReadFull(c, answer); err != nil {
				t.Fatal(err)
			}
		}
		_, salt, ok := strings.Cut(string(answer), ",s=")
		if !ok {
			t.Fatalf("%q", answer)
		}
		asked = append(asked, salt)
	}
	if asked[0] == asked[1] {
		t.Errorf("both ask for %s", asked[0])
	}
}

func TestWhatClientsNeedIsKeptAsItWasEdited(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"more":         func(s string) string { return s + "ssl.ca.location=/etc/ca.pem\n" },
		"another user": func(s string) string { return strings.ReplaceAll(s, "sasl.username=decoder", "sasl.username=other") },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "client.properties")
		start(t, broker.Config{DataDir: dir, Listen: loopback, Advertise: "log.example.org:9092"}).stop()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		edited := edit(string(b))
		if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, broker.Config{DataDir: dir, Listen: loopback, Advertise: "log.example.org:9092"}).stop()
		if b, err := os.ReadFile(path); err != nil || string(b) != edited {
			t.Errorf("%s: it is %s, %v", name, b, err)
		}
		start(t, broker.Config{DataDir: dir, Listen: loopback, Advertise: "moved.example.org:9092"}).stop()
		if moved := property(t, dir, "bootstrap.servers") == "moved.example.org:9092"; moved != (name == "more") {
			t.Errorf("%s: the address has changed in it: %t", name, moved)
		}
	}
}

func TestWhatIsAdvertisedIsAnAddress(t *testing.T) {
	for addr, ok := range map[string]bool{"host:9092": true, "[::1]:9092": true, "host": false, "host:": false, "host:kafka": false, "host:0": false, "::1:9092": false} {
		if _, err := broker.New(broker.Config{DataDir: "d", Advertise: addr}, scope()); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestCredentialsWithoutUsersAreNone(t *testing.T) {
	for _, text := range []string{`{"version": 1}`, `{"version": 1, "users": null}`, `{}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "credentials.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := start(t, broker.Config{DataDir: dir, Listen: loopback})
		made := scram.Auth{User: property(t, dir, "sasl.username"), Pass: property(t, dir, "sasl.password")}
		if err := ping(t, r.Addr().String(), made.AsSha256Mechanism()); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWithoutTLSOnlyLoopbackIsServed(t *testing.T) {
	for _, c := range []broker.Config{
		{DataDir: "d", Listen: "0.0.0.0:0"}, {DataDir: "d", Listen: ":9092"},
		{DataDir: "d", Listen: "0.0.0.0:0", TLS: &tls.Config{}, Open: true},
	} {
		if _, err := broker.New(c, scope()); err == nil {
			t.Errorf("a broker on %s, TLS %t, open %t", c.Listen, c.TLS != nil, c.Open)
		}
	}
}

// authority signs certificates of a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	c := a.sign(t, "authority", nil)
	a.cert, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *authority) sign(t *testing.T, name string, ip net.IP) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: a.cert == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = tmpl, key
	}
	if ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestCertificateOfOursIsASignInAndNoOther(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	r := start(t, broker.Config{DataDir: dir, Listen: loopback, TLS: &tls.Config{
		Certificates: []tls.Certificate{ours.sign(t, "broker", net.IPv4(127, 0, 0, 1))},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: ours.pool(),
	}})
	addr := r.Addr().String()
	with := func(certs ...tls.Certificate) kgo.Opt {
		return kgo.DialTLSConfig(&tls.Config{RootCAs: ours.pool(), Certificates: certs})
	}
	password := scram.Auth{User: property(t, dir, "sasl.username"), Pass: property(t, dir, "sasl.password")}.AsSha512Mechanism()
	if err := ping(t, addr, nil, with(ours.sign(t, "client", nil))); err != nil {
		t.Errorf("our certificate: %v", err)
	}
	if err := ping(t, addr, password, with()); err != nil {
		t.Errorf("no certificate, a password: %v", err)
	}
	if err := ping(t, addr, nil, with()); err == nil {
		t.Error("let in without certificate and password")
	}
	if err := ping(t, addr, nil, with(others.sign(t, "client", nil))); err == nil {
		t.Error("let in by a certificate of someone else's")
	}
	if err := ping(t, addr, password); err == nil {
		t.Error("let in without TLS")
	}
	// What TLS has asked for and not verified says nothing.
	r = start(t, broker.Config{Listen: loopback, TLS: &tls.Config{
		Certificates: []tls.Certificate{ours.sign(t, "broker", net.IPv4(127, 0, 0, 1))},
		ClientAuth:   tls.RequireAnyClientCert,
	}})
	if err := ping(t, r.Addr().String(), nil, with(others.sign(t, "client", nil))); err == nil {
		t.Error("let in by a certificate that nobody verified")
	}
}

// send writes bytes to the broker and waits for it to hang up; it returns how
// many bytes came back.
func send(t *testing.T, addr string, b []byte) int {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("the broker did not hang up: %v", err)
	}
	return len(got)
}

func frame(key, version int16, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(10+len(body)))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint16(b, 0xffff)
	return append(b, body...)
}

func TestHostileFramesEndOneConnectionAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	signIn := start(t, broker.Config{DataDir: dir, Listen: loopback})
	everyone := start(t, broker.Config{Listen: loopback, Open: true})
	manyTopics := []byte{0x7f, 0xff, 0xff, 0xff} // array of 2^31-1
	for name, b := range map[string][]byte{
		"4 GiB":                       {0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0},
		"2 GiB":                       {0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0},
		"2 GiB of produce":            {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9},
		"no length":                   {0, 0, 0, 0, 0, 0, 0, 0},
		"14 bytes":                    frame(3, 12, 0x7f, 0xff, 0xff, 0xff),
		"unknown request":             frame(999, 0),
		"unknown version":             frame(3, 99),
		"not advertised":              frame(int16(kmsg.ConsumerGroupHeartbeat), 0),
		"a client id beyond the end":  {0, 0, 0, 10, 0, 3, 0, 0, 0, 0, 0, 1, 0x7f, 0xff},
		"an array beyond the end":     frame(3, 1, manyTopics...),
		"an array of a flexible one":  frame(3, 12, 0, 0xff, 0xff, 0xff, 0xff, 0x07),
		"tags of a body":              frame(3, 12, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x07),
		"tags of produce":             frame(0, 9, 0xff, 0xff, 0xff, 0xff, 0x07),
		"a tag's length in produce":   frame(0, 9, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
		"tags beyond the end":         frame(3, 12, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"a tag's length":              frame(3, 12, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"produce cut in its records":  frame(0, 8, 0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff),
		"fetch with many partitions":  frame(1, 4, append(make([]byte, 17), manyTopics...)...),
		"join with too many protocol": frame(11, 0, append([]byte{0, 1, 'g', 0, 0, 0x40, 0, 0, 0, 0, 1, 'c'}, manyTopics...)...),
	} {
		for kind, r := range map[string]*running{"signed in": everyone, "before sign-in": signIn} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if n := send(t, r.Addr().String(), b); n != 0 {
				t.Errorf("%s, %s: answered with %d bytes", name, kind, n)
			}
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
				t.Errorf("%s, %s: %d bytes were allocated", name, kind, grown)
			}
		}
	}
	cl := everyone.client(t)
	createTopic(t, cl, "events", 1, nil)
	produce(t, cl, "events", 0, 10)
	if err := ping(t, everyone.Addr().String(), nil); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestApiVersionsOfTheFutureIsAnsweredWithWhatIsKnown(t *testing.T) {
	r := start(t, broker.Config{Listen: loopback, Open: true})
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(frame(18, 99, 0)); err != nil {
		t.Fatal(err)
	}
	var head [10]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	if got := int16(binary.BigEndian.Uint16(head[8:])); got != kerr.UnsupportedVersion.Code {
		t.Errorf("error code %d", got)
	}
}

// TestWhoCannotSignInKeepsNobodyOut has strangers take all connections there
// are, and one more than that; and then users.
func TestWhoCannotSignInKeepsNobodyOut(t *testing.T) {
	dir := t.TempDir()
	r := start(t, broker.Config{DataDir: dir, Listen: loopback, MaxConnections: 3})
	for range 10 {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	user := scram.Auth{User: property(t, dir, "sasl.username"), Pass: property(t, dir, "sasl.password")}
	var in []*kgo.Client
	for range 4 {
		cl, err := kgo.NewClient(kgo.SeedBrokers(r.Addr().String()), kgo.RequestRetries(0), kgo.SASL(user.AsSha256Mechanism()))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if err := cl.Ping(t.Context()); (err == nil) != (len(in) < 3) {
			t.Errorf("user %d: %v", len(in), err)
		}
		in = append(in, cl)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	r := start(t, broker.Config{Listen: loopback, Open: true, MaxConnections: 3})
	var held []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(frame(18, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatalf("connection %d: %v", len(held), err)
		}
		held = append(held, c)
	}
	if n := send(t, r.Addr().String(), frame(18, 0)); n != 0 {
		t.Errorf("a fourth connection got %d bytes", n)
	}
	if err := r.client(t).Ping(t.Context()); err != nil {
		t.Errorf("embedded clients do not count: %v", err)
	}
}
