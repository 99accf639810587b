package intel

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path"
	"strings"
	"time"
)

// MaxIndicators bounds what is taken of one file.
const MaxIndicators = 5_000_000

// Parse reads a feed in any of the known formats, told apart by their first
// lines: Zeek intelligence files; abuse.ch CSV (URLhaus, Feodo Tracker, SSLBL,
// ThreatFox) and JSON lines or dumps (ThreatFox, MalwareBazaar); MISP events;
// hosts files; plain lists of addresses, networks, domains, links or hashes.
// gzip is undone. Lines that are nothing of the format are counted as bad.
func Parse(name string, r io.Reader) (found []Indicator, bad int, err error) {
	br := bufio.NewReaderSize(r, 64<<10)
	if head, _ := br.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, 0, fmt.Errorf("reading feed %s: %w", name, err)
		}
		defer z.Close()
		br = bufio.NewReaderSize(io.LimitReader(z, 2<<30), 64<<10)
	}
	p := &parser{feed: path.Base(name)}
	head, _ := br.Peek(64 << 10)
	switch format(head) {
	case "zeek":
		err = p.lines(br, p.zeek())
	case "csv":
		err = p.csv(br)
	case "json":
		err = p.json(br)
	default:
		err = p.lines(br, p.plain)
	}
	if err != nil {
		return nil, p.bad, fmt.Errorf("reading feed %s: %w", name, err)
	}
	return p.found, p.bad, nil
}

func format(head []byte) string {
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	for line := range bytes.Lines(head) {
		t := bytes.TrimSpace(line)
		switch {
		case len(t) == 0:
		case bytes.HasPrefix(t, []byte("#fields")):
			return "zeek"
		case t[0] == '#':
			// The column names of abuse.ch stand in a comment.
			if f := bytes.ToLower(t); bytes.Count(f, []byte(",")) >= 2 && (bytes.Contains(f, []byte("dateadded")) || bytes.Contains(f, []byte("first_seen"))) {
				return "csv"
			}
		case t[0] == '{' || t[0] == '[':
			return "json"
		case bytes.Count(t, []byte(",")) >= 2:
			return "csv"
		default:
			return "plain"
		}
	}
	return "plain"
}

type parser struct {
	feed  string
	found []Indicator
	bad   int
}

func (p *parser) add(k Kind, value, detail string, at time.Time) {
	if len(p.found) >= MaxIndicators {
		return
	}
	i := Indicator{Kind: k, Value: Normalise(k, value), Feed: p.feed, Detail: cut(strings.TrimSpace(detail), 200), Time: at}
	switch k {
	case IP:
		if n, err := netip.ParsePrefix(strings.TrimSpace(value)); err == nil {
			i.Net = n.Masked()
			if n.IsSingleIP() {
				i.Value = n.Addr().Unmap().String()
			}
		} else if _, err := netip.ParseAddr(i.Value); err != nil {
			p.bad++
			return
		}
	case Domain:
		if !isDomain(i.Value) {
			p.bad++
			return
		}
	case URL:
		if len(i.Value) > 4096 {
			p.bad++
			return
		}
	case SHA256, SHA1, MD5, CertSHA1:
		if !isHex(i.Value, map[Kind]int{SHA256: 64, SHA1: 40, MD5: 32, CertSHA1: 40}[k]) {
			p.bad++
			return
		}
	}
	p.found = append(p.found, i)
}

// guess adds a bare value by what it looks like.
func (p *parser) guess(v, detail string, at time.Time) {
	v = strings.Trim(v, `"' `)
	_, prefixErr := netip.ParsePrefix(v)
	_, addrErr := netip.ParseAddr(v)
	ap, portErr := netip.ParseAddrPort(v)
	host, _, hasPort := strings.Cut(v, ":")
	switch {
	case prefixErr == nil, addrErr == nil:
		p.add(IP, v, detail, at)
	case portErr == nil:
		p.add(IP, ap.Addr().String(), detail, at)
	case strings.Contains(v, "://"):
		p.add(URL, v, detail, at)
	case isHex(v, 64):
		p.add(SHA256, v, detail, at)
	case isHex(v, 40):
		p.add(SHA1, v, detail, at)
	case isHex(v, 32):
		p.add(MD5, v, detail, at)
	case strings.IndexByte(v, '@') > 0:
		p.add(Email, v, detail, at)
	case strings.IndexByte(v, '/') > 0:
		p.add(URL, v, detail, at)
	case hasPort:
		p.add(Domain, host, detail, at)
	default:
		p.add(Domain, v, detail, at)
	}
}

// lines calls f with each line that is no comment.
func (p *parser) lines(r io.Reader, f func(string)) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 1<<20)
	for s.Scan() {
		line := strings.TrimSpace(strings.TrimPrefix(s.Text(), "\ufeff"))
		if line == "" || line[0] == ';' || line[0] == '#' && !strings.HasPrefix(line, "#fields") || strings.HasPrefix(line, "//") {
			continue
		}
		f(line)
	}
	return s.Err()
}

// plain reads a list or hosts file: the first word, or the second behind a
// loopback address; what follows a comment sign is detail.
func (p *parser) plain(line string) {
	value, detail, _ := strings.Cut(line, "#")
	if strings.Contains(value, "://") {
		value, detail = line, "" // a fragment, not a comment
	}
	f := strings.Fields(value)
	if len(f) == 0 {
		return
	}
	if len(f) >= 2 && (f[0] == "127.0.0.1" || f[0] == "0.0.0.0" || f[0] == "::1") {
		if f[1] != "localhost" {
			p.add(Domain, f[1], detail, time.Time{})
		}
		return
	}
	p.guess(f[0], detail, time.Time{})
}

// zeek reads the lines of an intelligence file behind its #fields line.
func (p *parser) zeek() func(string) {
	kinds := map[string]Kind{
		"Intel::ADDR": IP, "Intel::SUBNET": IP, "Intel::DOMAIN": Domain, "Intel::URL": URL, "Intel::EMAIL": Email, "Intel::CERT_HASH": CertSHA1,
	}
	value, kind, desc := 0, 1, -1
	return func(line string) {
		f := strings.Split(line, "\t")
		if f[0] == "#fields" {
			for i, n := range f[1:] {
				switch n {
				case "indicator":
					value = i
				case "indicator_type":
					kind = i
				case "meta.desc":
					desc = i
				}
			}
			return
		}
		if len(f) <= max(value, kind) {
			p.bad++
			return
		}
		detail := ""
		if desc >= 0 && desc < len(f) && f[desc] != "-" {
			detail = f[desc]
		}
		if f[kind] == "Intel::FILE_HASH" {
			p.guess(f[value], detail, time.Time{})
			return
		}
		k, ok := kinds[f[kind]]
		if !ok {
			p.bad++
			return
		}
		p.add(k, f[value], detail, time.Time{})
	}
}

func (p *parser) csv(r io.Reader) error {
	var names []string
	return p.csvLines(r, func(fields []string) {
		if names == nil {
			if n := columnNames(fields); n != nil {
				names = n
				return
			}
		}
		p.row(names, fields)
	})
}

// csvLines reads records line by line, so that a broken one costs itself
// alone. Commented column names count as a record.
func (p *parser) csvLines(r io.Reader, f func([]string)) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 1<<20)
	for s.Scan() {
		line := strings.TrimSpace(strings.TrimPrefix(s.Text(), "\ufeff"))
		if line == "" {
			continue
		}
		if line[0] == '#' {
			line = strings.TrimSpace(strings.Trim(line, "# "))
			if strings.Count(line, ",") < 2 || columnNames(splitPlain(line)) == nil {
				continue
			}
		}
		c := csv.NewReader(strings.NewReader(line))
		c.LazyQuotes, c.TrimLeadingSpace, c.FieldsPerRecord = true, true, -1
		fields, err := c.Read()
		if err != nil {
			p.bad++
			continue
		}
		f(fields)
	}
	return s.Err()
}

func splitPlain(s string) []string { return strings.Split(strings.ReplaceAll(s, `"`, ""), ",") }

// columnNames returns a record's names when it is a head, else nil.
func columnNames(fields []string) []string {
	out := make([]string, len(fields))
	known := 0
	for i, f := range fields {
		out[i] = strings.ToLower(strings.Trim(f, `" `))
		switch out[i] {
		case "url", "dst_ip", "sha1", "ioc_value", "sha256_hash", "dateadded", "first_seen_utc", "listingdate", "first_seen", "host", "ip", "domain":
			known++
		}
	}
	if known == 0 {
		return nil
	}
	return out
}

func (p *parser) row(names, f []string) {
	get := func(want ...string) string {
		for _, w := range want {
			for i, n := range names {
				if n == w && i < len(f) {
					return strings.Trim(f[i], `" `)
				}
			}
		}
		return ""
	}
	at := parseTime(get("dateadded", "first_seen_utc", "listingdate", "first_seen"))
	detail := strings.Trim(get("threat", "malware", "listingreason", "malware_printable", "signature")+" "+get("tags"), " ")
	switch {
	case get("ioc_value") != "":
		p.ioc(get("ioc_type"), get("ioc_value"), detail, at)
	case get("url") != "":
		p.add(URL, get("url"), detail, at)
	case get("dst_ip", "ip") != "":
		p.add(IP, get("dst_ip", "ip"), detail, at)
	case get("listingreason") != "" && get("sha1") != "":
		p.add(CertSHA1, get("sha1"), detail, at)
	case get("sha256_hash") != "":
		p.add(SHA256, get("sha256_hash"), detail, at)
	case get("domain", "host") != "":
		p.add(Domain, get("domain", "host"), detail, at)
	case names == nil && len(f) > 0:
		p.guess(f[0], "", at)
	default:
		p.bad++
	}
}

// ioc adds an indicator of ThreatFox's types.
func (p *parser) ioc(kind, value, detail string, at time.Time) {
	switch kind {
	case "ip:port":
		if i := strings.LastIndexByte(value, ':'); i > 0 {
			value = strings.Trim(value[:i], "[]")
		}
		p.add(IP, value, detail, at)
	case "domain":
		p.add(Domain, value, detail, at)
	case "url":
		p.add(URL, value, detail, at)
	case "sha256_hash":
		p.add(SHA256, value, detail, at)
	case "sha1_hash":
		p.add(SHA1, value, detail, at)
	case "md5_hash":
		p.add(MD5, value, detail, at)
	case "email":
		p.add(Email, value, detail, at)
	default:
		p.bad++
	}
}

// jsonEntry is an entry of abuse.ch's JSON, or a MISP event.
type jsonEntry struct {
	IOC       string          `json:"ioc"`
	IOCValue  string          `json:"ioc_value"`
	IOCType   string          `json:"ioc_type"`
	Malware   string          `json:"malware_printable"`
	SHA256    string          `json:"sha256_hash"`
	Signature string          `json:"signature"`
	FirstSeen string          `json:"first_seen"`
	FirstUTC  string          `json:"first_seen_utc"`
	URL       string          `json:"url"`
	Threat    string          `json:"threat"`
	Event     *mispEvent      `json:"Event"`
	Data      json.RawMessage `json:"data"`
}

func (e jsonEntry) empty() bool {
	return e.IOC+e.IOCValue+e.SHA256+e.URL == "" && e.Event == nil && e.Data == nil
}

type mispEvent struct {
	Info      string          `json:"info"`
	Date      string          `json:"date"`
	Attribute []mispAttribute `json:"Attribute"`
	Object    []struct {
		Attribute []mispAttribute `json:"Attribute"`
	} `json:"Object"`
}

type mispAttribute struct {
	Type  string `json:"type"`
	Value string `json:"value"`
	IDs   bool   `json:"to_ids"`
}

func (p *parser) json(r io.Reader) error {
	d := json.NewDecoder(io.LimitReader(r, 512<<20))
	for {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if len(p.found) > 0 {
				p.bad++
				return nil // a torn last line
			}
			return err
		}
		p.value(raw, 0)
	}
}

// value takes an entry, a list of entries, or ThreatFox's dump: an object of
// lists by id.
func (p *parser) value(raw json.RawMessage, depth int) {
	raw = bytes.TrimSpace(raw)
	if depth > 3 || len(raw) == 0 {
		return
	}
	if raw[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			p.bad++
			return
		}
		for _, e := range list {
			p.value(e, depth+1)
		}
		return
	}
	var e jsonEntry
	if json.Unmarshal(raw, &e) != nil || e.empty() {
		var byID map[string]json.RawMessage
		if json.Unmarshal(raw, &byID) != nil {
			p.bad++
			return
		}
		for _, v := range byID {
			if len(v) > 0 && v[0] == '[' {
				p.value(v, depth+1)
			}
		}
		return
	}
	p.entry(e, depth)
}

func (p *parser) entry(e jsonEntry, depth int) {
	at := parseTime(e.FirstSeen + e.FirstUTC)
	switch {
	case e.Event != nil:
		p.misp(e.Event)
	case e.IOC+e.IOCValue != "":
		p.ioc(e.IOCType, e.IOC+e.IOCValue, e.Malware, at)
	case e.SHA256 != "":
		p.add(SHA256, e.SHA256, e.Signature, at)
	case e.URL != "":
		p.add(URL, e.URL, e.Threat, at)
	case e.Data != nil:
		p.value(e.Data, depth+1)
	default:
		p.bad++
	}
}

func (p *parser) misp(e *mispEvent) {
	at := parseTime(e.Date)
	all := e.Attribute
	for _, o := range e.Object {
		all = append(all, o.Attribute...)
	}
	for _, a := range all {
		if !a.IDs {
			continue
		}
		value := a.Value
		switch t, _, _ := strings.Cut(a.Type, "|"); t {
		case "ip-dst", "ip-src", "domain", "hostname", "url", "sha256", "sha1", "md5", "email-src", "email":
			value, _, _ = strings.Cut(value, "|")
			p.guess(value, e.Info, at)
		case "filename":
			if _, hash, ok := strings.Cut(value, "|"); ok {
				p.guess(hash, e.Info, at)
			}
		}
	}
}

func parseTime(s string) time.Time {
	s = strings.TrimSuffix(strings.TrimSpace(s), " UTC")
	for _, layout := range [...]string{time.DateTime, time.RFC3339, time.DateOnly, "1/2/2006 15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range n {
		c := s[i] | 0x20
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

func isDomain(s string) bool {
	if len(s) > 253 || strings.IndexByte(s, '.') <= 0 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c >= 0x80) {
			return false
		}
	}
	return true
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
