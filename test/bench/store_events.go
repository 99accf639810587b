package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/store"
)

// storeEvents makes ECS events as Suricata gives them: flows, DNS, TLS, HTTP and
// one alert in fifty, 0.7 to 1.2 KB each, one every step.
type storeEvents struct {
	r    *rand.Rand
	n    int
	at   time.Time
	step time.Duration
}

const storeRare = "xylographer" // in one event of 20,000

func newStoreEvents(n int, span time.Duration) *storeEvents {
	step := span / time.Duration(n)
	return &storeEvents{r: rand.New(rand.NewPCG(1, 2)), at: time.Now().UTC().Add(-span), step: step}
}

func (g *storeEvents) pick(s ...string) string { return s[g.r.IntN(len(s))] }

// batch makes the next n documents.
func (g *storeEvents) batch(n int) []store.Doc {
	docs := make([]store.Doc, n)
	buf := make([]byte, 0, n*1100)
	var id [32]byte
	for i := range docs {
		g.at = g.at.Add(g.step)
		key := event.AppendID(id[:0], "bench", event.KindEvent, g.n)
		start := len(buf)
		buf = g.append(buf, key)
		docs[i] = store.Doc{ID: string(key), Time: g.at, JSON: buf[start:len(buf):len(buf)]}
		g.n++
	}
	return docs
}

func (g *storeEvents) append(b, id []byte) []byte {
	kind := [...]string{"flow", "dns", "tls", "http", "flow", "dns"}[g.r.IntN(6)]
	if g.n%50 == 0 {
		kind = "alert"
	}
	b = append(b, `{"@timestamp":"`...)
	b = g.at.AppendFormat(b, time.RFC3339Nano)
	b = append(append(b, `","event":{"id":"`...), id...)
	port := [...]int{443, 443, 53, 80, 8080, 22}[g.r.IntN(6)]
	b = fmt.Appendf(b, `","module":"suricata","dataset":"suricata.%s","kind":"event","category":["network"],"type":["connection","protocol"]},`,
		kind)
	b = fmt.Appendf(b, `"source":{"ip":"192.168.%d.%d","port":%d,"bytes":%d,"packets":%d},"destination":{"ip":"%d.%d.%d.%d","port":%d,"bytes":%d,"packets":%d},`,
		g.r.IntN(4), g.r.IntN(250), 1024+g.r.IntN(60000), g.r.IntN(100000), g.r.IntN(200),
		[...]int{8, 93, 104, 151}[g.r.IntN(4)], g.r.IntN(16), g.r.IntN(16), g.r.IntN(256), port, g.r.IntN(1000000), g.r.IntN(900))
	b = fmt.Appendf(b, `"network":{"transport":"%s","protocol":"%s","type":"ipv4","direction":"outbound","community_id":"1:%x%x=","bytes":%d},"observer":{"product":"Suricata","name":"sensor-1"},"ecs":{"version":"8.17.0"},`,
		g.pick("tcp", "udp"), g.pick("dns", "tls", "http"), g.r.Uint64(), g.r.Uint32(), g.r.IntN(1000000))
	b = fmt.Appendf(b, `"suricata":{"eve":{"flow_id":%d,"flow":{"age":%d,"state":"%s","reason":"timeout","alerted":false}}},`,
		g.r.Uint64()>>1, g.r.IntN(600), g.pick("closed", "established", "new"))
	b = g.appendKind(b, kind)
	if g.n%20_000 == 7_001 {
		b = append(b, `"note":"`+storeRare+`",`...)
	}
	return fmt.Appendf(b, `"related":{"ip":["192.168.%d.%d","10.%d.%d.1"]},"decoder":{"raw":{"topic":"suricata_ingest","partition":%d,"offset":%d}}}`,
		g.r.IntN(4), g.r.IntN(250), g.r.IntN(16), g.r.IntN(16), g.n%6, g.n)
}

func (g *storeEvents) appendKind(b []byte, kind string) []byte {
	host := fmt.Sprintf("%s-%d.%s", g.pick("www", "api", "cdn", "mail"), g.r.IntN(3000), g.pick("example.com", "example.org", "telemetry.example.net"))
	switch kind {
	case "dns":
		return fmt.Appendf(b, `"dns":{"id":"%d","type":"answer","response_code":"NOERROR","question":{"name":"%s","type":"A","class":"IN"},"answers":[{"name":"%s","type":"A","ttl":%d,"data":"104.%d.%d.7"}],"resolved_ip":["104.16.0.7"]},`,
			g.r.IntN(65536), host, host, g.r.IntN(3600), g.r.IntN(16), g.r.IntN(256))
	case "tls":
		return fmt.Appendf(b, `"tls":{"version":"1.3","version_protocol":"tls","client":{"server_name":"%s","ja3":"%x%x"},"server":{"subject":"CN=%s","issuer":"C=US, O=Let's Encrypt, CN=R%d","hash":{"sha1":"%x%x"}}},`,
			host, g.r.Uint64(), g.r.Uint64(), host, g.r.IntN(12), g.r.Uint64(), g.r.Uint64())
	case "http":
		return fmt.Appendf(b, `"http":{"version":"1.1","request":{"method":"%s"},"response":{"status_code":%d,"bytes":%d,"mime_type":"text/html"}},"url":{"domain":"%s","path":"/path/%d/index.html","full":"http://%s/path/%d/index.html"},"user_agent":{"original":"Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0"},`,
			g.pick("GET", "POST", "HEAD"), []int{200, 301, 404, 500}[g.r.IntN(4)], g.r.IntN(100000), host, g.r.IntN(5000), host, g.r.IntN(5000), 100+g.r.IntN(40), 100+g.r.IntN(40))
	case "alert":
		return fmt.Appendf(b, `"rule":{"id":"%d","name":"ET %s Possible activity %d","category":"A Network Trojan was detected","version":"3"},"suricata_alert":{"action":"allowed","gid":1,"severity":%d,"metadata":{"created_at":["2024_01_01"],"mitre_technique_id":["T1071"]}},"payload":"%x%x%x%x%x%x",`,
			2000000+g.r.IntN(400), g.pick("MALWARE", "TROJAN", "INFO", "POLICY"), g.r.IntN(50), 1+g.r.IntN(3), g.r.Uint64(), g.r.Uint64(), g.r.Uint64(), g.r.Uint64(), g.r.Uint64(), g.r.Uint64())
	}
	return fmt.Appendf(b, `"flow":{"start":"%s","end":"%s","bytes_toserver":%d,"bytes_toclient":%d,"hash":"%x%x"},`,
		g.at.Format(time.RFC3339Nano), g.at.Format(time.RFC3339Nano), g.r.IntN(100000), g.r.IntN(100000), g.r.Uint64(), g.r.Uint64())
}
