package decode

import (
	"net/netip"
	"testing"

	"golang.org/x/net/publicsuffix"
)

func TestDomainsAreTakenApart(t *testing.T) {
	var d Domains
	for in, want := range map[string][3]string{
		"www.shop.example.co.uk": {"example.co.uk", "www.shop", "co.uk"},
		"example.com.":           {"example.com", "", "com"},
		"com":                    {},
		"co.uk":                  {"", "", "co.uk"},
		"_dmarc.example.org":     {"example.org", "_dmarc", "org"},
		"10.0.0.1":               {},
		"1.0.0.10.in-addr.arpa":  {"10.in-addr.arpa", "1.0.0", "in-addr.arpa"},
		"a b.example.com":        {},
		"a..example.com":         {},
		"xn--bcher-kva.example":  {"xn--bcher-kva.example", "", "example"},
		"UPPER.example":          {},
		"":                       {},
	} {
		for range 2 { // once asked, once remembered
			got := d.Split([]byte(in))
			if string(got.Registered) != want[0] || string(got.Subdomain) != want[1] || string(got.Suffix) != want[2] {
				t.Errorf("%s: got %s, want %s", in, got, want)
			}
		}
	}
}

func FuzzDomains(f *testing.F) {
	f.Add("a.b.example.co.uk")
	f.Add("city.kawasaki.jp")
	var d Domains
	f.Fuzz(func(t *testing.T, in string) {
		got := d.Split([]byte(in))
		if len(got.Registered) == 0 {
			return
		}
		if in[len(in)-1] == '.' {
			in = in[:len(in)-1]
		}
		want, err := publicsuffix.EffectiveTLDPlusOne(in)
		if err != nil || want != string(got.Registered) {
			t.Errorf("%q: got %s, want %s %v", in, got.Registered, want, err)
		}
	})
}

func TestDirectionAndMonitoredAddress(t *testing.T) {
	h, err := ParseHome("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	addr := func(s string) (a netip.Addr) {
		if s != "" {
			a = netip.MustParseAddr(s)
		}
		return a
	}
	for _, c := range []struct {
		source, destination string
		want                Direction
		monitored           string
	}{
		{"10.0.0.2", "10.0.0.1", Internal, "10.0.0.1"},
		{"10.0.0.2", "203.0.113.1", Outbound, "10.0.0.2"},
		{"203.0.113.1", "192.0.2.7", Inbound, "192.0.2.7"},
		{"203.0.113.1", "192.0.2.8", External, ""},
		{"2001:db8::2", "ff02::1", Internal, "2001:db8::2"},
		{"0.0.0.0", "255.255.255.255", Internal, ""},
		{"::ffff:10.0.0.1", "203.0.113.1", Outbound, "::ffff:10.0.0.1"},
		{"10.0.0.2", "", NoDirection, "10.0.0.2"},
	} {
		s, d := addr(c.source), addr(c.destination)
		if got := h.Direction(s, d); got != c.want {
			t.Errorf("%s to %s: %s, want %s", c.source, c.destination, got, c.want)
		}
		if got := h.Monitored(s, d); got != addr(c.monitored) {
			t.Errorf("%s to %s: monitored %v, want %s", c.source, c.destination, got, c.monitored)
		}
	}
	if _, err := ParseHome("10.0.0.0/33"); err == nil {
		t.Error("a network of 33 bits was accepted")
	}
}
