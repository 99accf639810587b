package intel

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/obs"
)

// feedsOfTheWorld hold one file of each format, written for this test.
var feedsOfTheWorld = map[string]struct {
	text string
	want []string // kind and value
	bad  int
}{
	"zeek.intel":       {"#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\n192.0.2.7\tIntel::ADDR\tx\tc2 of y\nEvil.Example\tIntel::DOMAIN\tx\t-\nevil.example/a\tIntel::URL\tx\t-\n198.51.100.0/24\tIntel::SUBNET\tx\t-\n44d88612fea8a8f36de82e1278abb02f\tIntel::FILE_HASH\tx\t-\nx\tIntel::NOSUCH\tx\t-\n", []string{"ip 192.0.2.7", "domain evil.example", "url http://evil.example/a", "ip 198.51.100.0/24", "md5 44d88612fea8a8f36de82e1278abb02f"}, 1},
	"urlhaus.csv":      {"####\n# abuse.ch URLhaus\n# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n\"1\",\"2026-03-03 09:15:02\",\"http://192.0.2.8:81/Mozi.m\",\"online\",\"2026-03-03 09:15:02\",\"malware_download\",\"elf,mozi\",\"https://x/1\",\"y\"\n", []string{"url http://192.0.2.8:81/Mozi.m"}, 0},
	"feodo.csv":        {"# Feodo\n\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"\n\"2026-03-03 09:15:02\",\"192.0.2.9\",\"443\",\"online\",\"2026-03-03\",\"Pikabot\"\n", []string{"ip 192.0.2.9"}, 0},
	"sslbl.csv":        {"\ufeffSHA1,ListingReason,ListingDate\n19e664f09401bf648b6ea57719e34ad795f3b6cb,AsyncRAT C&C,12/22/2023 6:58\n", []string{"cert_sha1 19e664f09401bf648b6ea57719e34ad795f3b6cb"}, 0},
	"threatfox.ndjson": {`{"ioc":"192.0.2.10:40669","ioc_type":"ip:port","malware_printable":"RedLine","first_seen":"2026-03-03 09:15:02 UTC"}` + "\n" + `{"ioc":"[2001:db8::5]:1","ioc_type":"ip:port"}` + "\n" + `{"ioc":"c2.example","ioc_type":"domain"}`, []string{"ip 192.0.2.10", "ip 2001:db8::5", "domain c2.example"}, 0},
	"threatfox.json":   {`{"841508":[{"ioc_value":"c3.example","ioc_type":"domain"}]}`, []string{"domain c3.example"}, 0},
	"bazaar.ndjson":    {`{"sha256_hash":"5bce7d528c1363104a93fbb5a7fa9bdd991ce929cc09cc7fb29052a68d4fd24b","signature":"x"}`, []string{"sha256 5bce7d528c1363104a93fbb5a7fa9bdd991ce929cc09cc7fb29052a68d4fd24b"}, 0},
	"misp.json":        {`{"Event":{"info":"x","date":"2026-03-03","Attribute":[{"type":"domain|ip","value":"m.example|192.0.2.1","to_ids":true},{"type":"domain","value":"not.example","to_ids":false}],"Object":[{"Attribute":[{"type":"filename|sha1","value":"a.exe|19e664f09401bf648b6ea57719e34ad795f3b6cb","to_ids":true}]}]}}`, []string{"domain m.example", "sha1 19e664f09401bf648b6ea57719e34ad795f3b6cb"}, 0},
	"hosts.txt":        {"# hosts\n127.0.0.1\tlocalhost\n127.0.0.1\th.example\n0.0.0.0 i.example # phish\n", []string{"domain h.example", "domain i.example"}, 0},
	"plain.txt":        {"; drop\n203.0.113.0/24 ; SBL1\n192.0.2.11\n192.0.2.12:8080\np.example\nhttp://p.example/x#y\nq.example:99\na@q.example\nhello\n", []string{"ip 203.0.113.0/24", "ip 192.0.2.11", "ip 192.0.2.12", "domain p.example", "url http://p.example/x", "domain q.example", "email a@q.example"}, 1},
}

func TestEachFormatIsRead(t *testing.T) {
	for name, tt := range feedsOfTheWorld {
		t.Run(name, func(t *testing.T) {
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			w.Write([]byte(tt.text))
			w.Close()
			for _, r := range [][]byte{[]byte(tt.text), z.Bytes()} {
				found, bad, err := Parse(name, bytes.NewReader(r))
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, i := range found {
					got = append(got, i.Kind.String()+" "+i.Value)
				}
				if fmt.Sprint(got) != fmt.Sprint(tt.want) || bad != tt.bad {
					t.Errorf("got %v and %d bad, want %v and %d", got, bad, tt.want, tt.bad)
				}
			}
		})
	}
}

func TestLookUps(t *testing.T) {
	var all []Indicator
	for name, tt := range feedsOfTheWorld {
		found, _, err := Parse(name, strings.NewReader(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	x, err := Build(append(all, all...))
	if err != nil {
		t.Fatal(err)
	}
	if x.Len() != len(all)-1 { // one hash stands in two feeds, as file and as certificate; one SHA-1 twice
		t.Logf("%d of %d indicators", x.Len(), len(all))
	}
	for ip, want := range map[string]string{
		"192.0.2.7": "zeek.intel", "::ffff:192.0.2.9": "feodo.csv", "198.51.100.77": "zeek.intel", "203.0.113.1": "plain.txt", "192.0.2.77": "", "2001:db8::5": "threatfox.ndjson",
	} {
		i, ok := x.LookupIP(netip.MustParseAddr(ip))
		if ok != (want != "") || i.Feed != want {
			t.Errorf("%s: %+v, want feed %q", ip, i, want)
		}
	}
	for d, want := range map[string]bool{"evil.example": true, "WWW.EVIL.example.": true, "notevil.example": false, "example": false, "": false} {
		if _, ok := x.LookupDomain(d); ok != want {
			t.Errorf("%s: %v", d, ok)
		}
	}
	if i, ok := x.Lookup(URL, "HTTP://192.0.2.8:81/Mozi.m#x"); !ok || i.Detail != "malware_download elf,mozi" || i.Time.IsZero() {
		t.Errorf("%+v", i)
	}
	if _, ok := x.Lookup(URL, "http://192.0.2.8:81/mozi.m"); ok {
		t.Error("a path in another case is another path")
	}
	var none *Index
	if _, ok := none.LookupDomain("evil.example"); ok {
		t.Error("no index finds something")
	}
}

func TestFeedsAreReadAgainWhenAFileChanges(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		tmp := filepath.Join(dir, ".tmp")
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("a.txt", "a.example\n")
	f := NewFeeds(Config{Paths: []string{dir}, Poll: 10 * time.Millisecond}, obs.Scope{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	<-f.Loaded()
	if _, ok := f.Index().LookupDomain("a.example"); !ok {
		t.Error("not loaded")
	}
	write("b.txt", "b.example\n")
	await(t, func() bool { _, ok := f.Index().LookupDomain("b.example"); return ok })
	os.Remove(filepath.Join(dir, "a.txt"))
	await(t, func() bool { _, ok := f.Index().LookupDomain("a.example"); return !ok })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// await polls: the feeds look at files by a timer, and nothing says when.
func await(t *testing.T, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

func TestFeedsOfTheCorpora(t *testing.T) {
	root := os.Getenv("DECODER_CORPORA")
	if root == "" {
		t.Skip("set DECODER_CORPORA to the folder of the unpacked corpora")
	}
	least := map[string]int{
		"abusech-feodo-csv": 10, "abusech-ndjson": 40, "abusech-sslbl-csv": 4000, "abusech-urlhaus-csv": 1000,
		"abusech-urlhaus-hostfile": 100, "firehol-isrcharles": 1000, "openphish": 100, "zeek-intel-feeds": 1000, "eset-misp": 20, "ipsum": 1000,
	}
	for dir, n := range least {
		got, bad := 0, 0
		err := filepath.WalkDir(filepath.Join(root, "intel", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "LICENSE" || d.Name() == "README.md" {
				return err
			}
			r, err := os.Open(path)
			if err != nil {
				return err
			}
			defer r.Close()
			found, b, err := Parse(path, r)
			got, bad = got+len(found), bad+b
			return err
		})
		if err != nil {
			t.Error(err)
		}
		t.Logf("%s: %d indicators, %d lines not understood", dir, got, bad)
		if got < n || bad > got/50 {
			t.Errorf("%s: %d indicators, %d bad; want at least %d", dir, got, bad, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for name, tt := range feedsOfTheWorld {
		f.Add(name, []byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		found, _, err := Parse(name, bytes.NewReader(b))
		if err != nil {
			return
		}
		x, err := Build(found)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range found {
			if i.Net.IsValid() {
				if _, ok := x.LookupIP(i.Net.Addr()); !ok {
					t.Fatalf("%+v is not found", i)
				}
			} else if _, ok := x.find(i.Kind, i.Value); !ok && len(i.Value) <= 4096 {
				t.Fatalf("%+v is not found", i)
			}
		}
	})
}

func million() []Indicator {
	all := make([]Indicator, 0, 1_000_000)
	for n := range 1_000_000 {
		all = append(all, Indicator{Kind: Domain, Value: fmt.Sprintf("host%d.bad%d.example", n, n%1000), Feed: "f"})
	}
	return all
}

func BenchmarkDomain(b *testing.B) {
	all := million()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	x, err := Build(all)
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for n := 0; b.Loop(); n++ {
		x.LookupDomain("www.some-good-host.example.com")
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB")
	runtime.KeepAlive(all)
}
