package storetest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/store"
)

// baseTime is two hours ago, on a whole minute.
func baseTime() time.Time { return time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Hour) }

// docAt makes a document of members beside id and time.
func docAt(id string, at time.Time, capture bool, members string) store.Doc {
	return store.Doc{ID: id, Time: at, Capture: capture, JSON: fmt.Appendf(nil,
		`{"@timestamp":"%s","event":{"id":"%s"},%s}`, at.UTC().Format(time.RFC3339Nano), id, members)}
}

// generate makes n documents, the first of them the same for each n.
func generate(n int) []store.Doc {
	r := rand.New(rand.NewPCG(3, 4))
	docs := make([]store.Doc, n)
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	base := baseTime()
	for i := range docs {
		id := event.ID("storetest", event.KindEvent, i)
		at := base.Add(time.Duration(i)*time.Second + time.Duration(r.IntN(1e9)))
		head := fmt.Sprintf(`"@timestamp":"%s","source":{"ip":"10.0.%d.%d","port":%d},"destination":{"ip":"%s","port":%d},"related":{"ip":["10.0.0.%d","%s"]}`,
			at.Format(time.RFC3339Nano), r.IntN(4), r.IntN(256), 1024+r.IntN(60000), pick("8.8.8.8", "2001:db8::1", "2001:db8:0:0:0:0:0:2", "192.168.1.7", "fe80::1"),
			[]int{53, 80, 443, 8080}[r.IntN(4)], r.IntN(30), pick("8.8.8.8", "2001:db8::1", "172.16.5.9", "fc00:1::5"))
		var body string
		switch r.IntN(3) {
		case 0:
			body = fmt.Sprintf(`"event":{"id":"%s","module":"suricata","dataset":"suricata.dns","category":["network"]},"dns":{"question":{"name":"%s.%s"},"answers":[{"data":"1.2.3.%d","ttl":%d},{"data":"Host-%d.example.com"}]}`,
				id, pick("www", "Mail", "ns1", "x"), pick("example.com", "EXAMPLE.org", "example.com.evil.net"), r.IntN(9), r.IntN(300), r.IntN(5))
		case 1:
			body = fmt.Sprintf(`"event":{"id":"%s","module":"suricata","dataset":"suricata.alert","category":["network","intrusion_detection"],"severity":%d},"rule":{"name":"%s %s","id":"%d"},"suricata":{"eve":{"flow_id":%d}}`,
				id, 1+r.IntN(4), pick("ET TROJAN", "ET MALWARE", "GPL ATTACK_RESPONSE"), pick("id check returned root", "EternalBlue probe", "Trojan beacon", "rare-word-"+strconv.Itoa(r.IntN(500))), 2100000+r.IntN(20), r.Uint64())
		default:
			body = fmt.Sprintf(`"event":{"id":"%s","module":"osquery","dataset":"osquery.result"},"process":{"executable":"C:\\Windows\\%s.exe","pid":%d,"args":["-c","say \"%s\""]},"host":{"name":"%s"},"file":{"size":%d.5},"ok":%v`,
				id, pick("cmd", "Explorer", `System32\\svchost`), r.IntN(9000), pick("hi", "Hello World"), pick("ALPHA", "beta-1", "größe"), r.IntN(100), r.IntN(2) == 0)
		}
		docs[i] = store.Doc{ID: id, Time: at, Capture: i%7 == 0, JSON: []byte("{" + head + "," + body + "}")}
	}
	return docs
}

// oddities are documents whose types, names or sizes are unusual.
func oddities() []store.Doc {
	var docs []store.Doc
	for i, members := range []string{
		`"s":"1","n":1,"t":"true","b":true,"z":null,"y":"null"`,
		`"big":18446744073709551615,"bigger":123456789012345678901234567890,"f":1.0,"e":1E5,"m":-0`,
		`"empty":"","list":[],"object":{},"nested":{"empty":{"":1}}`,
		`"array":"[1]","brace":"{","lists":[[1,2],["Mixed"]],"mixed":["A",1,true,null,{"k":"Vee"}]`,
		`"dotted.name":"Dotted","dotted":{"name2":1}`,
		`"text":"line one\nLine two\ttab \"quoted\" back\\slash"`,
		`"unicode":"ÄÖÜ straße 日本語 😀","escaped":"\u00c4 \ud83d\ude00"`,
		`"long":"` + strings.Repeat("AbC9", 100) + `"`,
		`"long":"` + strings.Repeat("Many Words ", 100) + `"`,
		`"_msg":"underscore","_time":"x","_stream":"y","star*":1,"time":"2026-01-01T00:00:00Z"`,
		`"source":{"ip":"2001:DB8::1"},"related":{"ip":["::1","0.0.0.0"]}`,
		`"numbers":[1,2,30],"score":7`,
		`"wide":{` + wide(400) + `}`,
	} {
		docs = append(docs, docAt(fmt.Sprintf("odd-%02d", i), baseTime().Add(time.Duration(i)*time.Minute+123456*time.Microsecond), i%2 == 0, members))
	}
	return docs
}

func wide(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"f%d":"v%d"`, i, i)
	}
	return b.String()
}

// queries are those whose answers are compared one by one.
func queries() []string {
	return []string{
		"", "*", "trojan", "TROJAN", "Trojan", "troja", "EternalBlue", "eternalblue", `"et trojan"`, `"ET TROJAN id"`, "rare-word-7", "suricata", "nothing",
		"event", "module", "_stream", "2026", "network", `"network"`, "straße", "STRASSE", "äöü", "日本語", "mixed", "vee",
		"event.module:suricata", "event.module:SURICATA", "event.module:=suricata", "event.module:=Suricata", "event.module:suri*", "event.module:*cat*",
		"event.category:network", "event.category:=network", "event.category:intrusion", "event.category:intrusion_detection", "event.category:=intrusion*",
		"event.category:(network AND intrusion_detection)", "-event.category:network", "event.category:*", "NOT event.category:*",
		"dns.question.name:example.com", "dns.question.name:*.example.com", "dns.question.name:=*.example.com", "dns.question.name:www*", "dns.question.name:=WWW*",
		"dns.question.name:w*m", "dns.question.name:=w*m", "dns.answers.data:1.2.3.4", "dns.answers.data:host-1.example.com", "dns.answers.data:=Host-1.example.com", "dns.answers.ttl:7", "host-1",
		"dns.answers.data:1.2.3.0/30",
		"source.ip:10.0.0.0/16", "source.ip:10.0.1.0/25", "source.ip:10.0.0.0/8", "source.ip:10.0.1.1", "source.ip:10.0.1", "10.0.1.128/25", "8.8.8.8", "8.8.8.0/24",
		"destination.ip:2001:db8::/32", "destination.ip:2001:db8::1", "destination.ip:2001:db8::2", "destination.ip:2001:0DB8:0::1", "destination.ip:fe80::/10", "2001:db8::/32",
		"related.ip:10.0.0.0/28", "related.ip:172.16.0.0/12", "related.ip:fc00::/7", "related.ip:2001:db8::/32", "related.ip:8.8.8.8", "related.ip:10.0.0.1", "related.ip:=10.0.0.1", "source.ip:2001:db8::/32",
		"destination.port:443", "destination.port:>443", "destination.port:>=443", "destination.port:<80", "destination.port:<=80", "destination.port:(>80 <8080)", "destination.port:=443", "destination.port:44",
		"event.severity:>2", "file.size:>50", "file.size:<=50.5", "file.size:>1e1", "file.size:>-1.5", "score:>6", "numbers:>5", "big:>18446744073709500000", "process.pid:>4000",
		"suricata.eve.flow_id:>9223372036854775807",
		`process.executable:C:\Windows\cmd.exe`, `process.executable:"c:\windows\system32"`, `process.executable:C:\Windows\*`, `process.executable:=C:\Windows\*`, `process.args:"say \"hi\""`, `process.args:="say \"Hello World\""`, `process.args:"say \"hello world\""`, `"say \"hi\""`,
		"host.name:alpha", "host.name:größe", "host.name:GRÖSSE", "host.name:GRÖßE", "ok:true", "ok:=true", "ok:false",
		"s:1", "n:1", "s:=1", "t:true", "y:null", "z:*", "empty:*", "list:*", "object:*", "array:*", "array:1", "mixed:a", "mixed:=A", "mixed:=1", "mixed.k:vee", "lists:mixed",
		"text:two", `text:"one two"`, `text:"line two"`, `text:"quoted"`, `text:"\"quoted\""`, `text:"back\\slash"`, "tab*quoted",
		"long:words", "long:" + strings.Repeat("AbC9", 100), "long:" + strings.Repeat("abc9", 100), "long:AbC9*", "long:abc9*",
		"time:>2025-01-01", "time:>2027-01-01", "wide.f399:v399", "wide.f399:*", "dotted", "underscore",
		"rule.name:(trojan -beacon)", "trojan OR osquery", "(trojan OR osquery) -443", "NOT (trojan OR osquery)", "a OR b OR 443", "*oot", "ro*", "*oo*",
		"rule.id:(=2100005 OR =2100006)", "event.category:(=network OR =host)", "event.id:(=odd-01 OR =odd-02 OR =nothing)", `host.name:(="ALPHA" OR =beta-1)`,
		"rule.id:2100005", "rule.id:>2100005", "rule.id:=2100005",
		"@timestamp:>2020-01-01", "@timestamp:<2020-01-01", "@timestamp:*", "@timestamp:>" + baseTime().Add(20*time.Minute).Format(time.RFC3339), "@timestamp:<=" + baseTime().Add(20*time.Minute).Format(time.RFC3339),
		"@timestamp:>0001-01-01", "@timestamp:<9999-01-01",
	}
}

// random makes queries of what is in documents.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 1))} }

func (r random) expr(docs []store.Doc, depth int) store.Expr {
	if depth < 3 && r.IntN(3) > 0 {
		a, b := r.expr(docs, depth+1), r.expr(docs, depth+1)
		switch r.IntN(3) {
		case 0:
			return store.And{Terms: []store.Expr{a, b}}
		case 1:
			return store.Or{Terms: []store.Expr{a, b}}
		}
		return store.Not{Term: a}
	}
	return r.leaf(docs)
}

func (r random) leaf(docs []store.Doc) store.Expr {
	f := parse(docs[r.IntN(len(docs))].JSON)
	names := make([]string, 0, len(f))
	for name := range f {
		if !strings.HasPrefix(name, "@") && !strings.HasPrefix(name, "_") && !strings.HasSuffix(name, "*") && !strings.HasPrefix(name, "dotted") && !strings.HasSuffix(name, ".") && name != "lists" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	name := names[r.IntN(len(names))]
	value := f[name].values[r.IntN(len(f[name].values))]
	if a, err := netip.ParseAddr(value); err == nil && r.IntN(2) == 0 {
		p, err := a.Prefix(r.IntN(a.BitLen() - 8))
		if err == nil && a.Is4() {
			return store.Network{Field: name, Prefix: p}
		}
	}
	if store.IsNumber(value) && r.IntN(2) == 0 && len(value) < 10 {
		return store.Compare{Field: name, Op: []store.Op{store.Greater, store.AtLeast, store.Less, store.AtMost}[r.IntN(4)], Value: value}
	}
	m := store.Match{Field: name, Pattern: r.pattern(value), Whole: r.IntN(3) == 0}
	if r.IntN(3) == 0 {
		m.Field, m.Whole = "", false
	}
	if !strings.ContainsFunc(strings.Join(m.Pattern, ""), store.IsWordRune) { // punctuation is in the JSON of lists too
		return store.Exists{Field: name}
	}
	return m
}

// pattern takes part of a value, at random places, with wildcards or without.
func (r random) pattern(value string) []string {
	runes := []rune(value)
	if r.IntN(2) == 0 {
		words := strings.FieldsFunc(value, func(c rune) bool { return !store.IsWordRune(c) })
		if len(words) > 0 {
			runes = []rune(words[r.IntN(len(words))])
		}
	} else if len(runes) > 3 && r.IntN(2) == 0 {
		from := r.IntN(len(runes) - 1)
		runes = runes[from : from+1+r.IntN(len(runes)-from-1)]
	}
	text := string(runes)
	switch r.IntN(6) {
	case 0:
		text = strings.ToUpper(text)
	case 1:
		return []string{text, ""}
	case 2:
		return []string{"", text}
	case 3:
		cut := r.IntN(len(runes) + 1)
		return []string{string(runes[:cut]), string(runes[cut:])}
	}
	return []string{text}
}
