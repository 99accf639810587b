package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// HeaderDelivery is the record header in which a mail source gives what it
// knows of a delivery: a [Delivery] as JSON.
const HeaderDelivery = "decoder-delivery"

// Delivery is what the source of a message knows beside its bytes.
type Delivery struct {
	From       string     `json:"from,omitempty"`
	Null       bool       `json:"null,omitempty"` // the null reverse-path
	To         []string   `json:"to,omitempty"`
	HELO       string     `json:"helo,omitempty"`
	ClientIP   netip.Addr `json:"client_ip,omitzero"`
	ClientName string     `json:"client_name,omitempty"` // found by the server, not given by the client
	QueueID    string     `json:"queue_id,omitempty"`
	Time       time.Time  `json:"time,omitzero"`
}

// Options say how a message is decoded.
type Options struct {
	Limits  Limits
	Border  Border
	Own     []string  // own domains, for email.direction
	Default time.Time // @timestamp of a message that carries no usable time
}

// Decode makes a document of a message. It never fails: what is broken is in
// the document's defects. It is a pure function of its arguments, but for the
// time limit, which no input within the other limits has been seen to reach.
// The document does not refer to raw's bytes.
func Decode(raw []byte, d Delivery, o Options) *Document {
	limits := o.Limits.withDefaults()
	doc := &Document{
		ECS:   ECS{Version: ecsVersion},
		Event: Event{Kind: "event", Category: []string{"email"}, Type: []string{"info"}, Module: "mail", Dataset: "mail.message"},
	}
	w := &walker{
		limits: limits, now: time.Now, doc: doc, defects: map[string]bool{}, seenURL: map[uint64]bool{}, seed: maphash.MakeSeed(), hosts: hosts{},
		scan: limits.TextScan, hash: 2 * int64(limits.Message),
		htmlText: textSink{keep: limits.Text}, plain: textSink{keep: limits.Text},
	}
	w.deadline = w.now().Add(limits.Time)
	sum := sha256.Sum256(raw)
	doc.Mail = Mail{SchemaVersion: SchemaVersion, Raw: Raw{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(raw))}}
	h, body := splitHeader(cutMboxLine(raw), limits, w.report)
	doc.Mail.Identity = identity(h, body)
	if over := len(raw) - limits.Message; over > 0 {
		body = body[:max(0, len(body)-over)]
		doc.Mail.Raw.Truncated = true
		w.report(DefectMessageSize)
	}
	w.header(h)
	w.trace(h, d, o)
	w.part(h, body, 0, "")
	w.finish(o)
	return doc
}

func (w *walker) header(h header) {
	doc := w.doc
	doc.Mail.Headers = make([]Header, 0, len(h.fields))
	for i := range h.fields {
		raw := unfold(h.fields[i].body)
		v := decodeWords(raw, w.report)
		hd := Header{Name: h.fields[i].name, Value: v}
		if v != raw {
			hd.Raw = strings.ToValidUTF8(raw, "\uFFFD")
		}
		hd.Name, hd.Value = valid(hd.Name), valid(v)
		doc.Mail.Headers = append(doc.Mail.Headers, hd)
	}
	e := &doc.Email
	w.from(h)
	e.To, e.CC, e.BCC = w.addresses(h, "To"), w.addresses(h, "Cc"), w.addresses(h, "Bcc")
	for _, s := range h.all("Reply-To") {
		doc.Mail.ReplyTo = append(doc.Mail.ReplyTo, parseAddresses(s, w.report).boxes...)
	}
	for _, m := range doc.Mail.ReplyTo {
		if m.Address != "" {
			e.ReplyTo.Address = append(e.ReplyTo.Address, m.Address)
		}
	}
	if p := parseAddresses(h.get("Sender"), w.report); len(p.boxes) > 0 && p.boxes[0].Address != "" {
		e.Sender = &Sender{Address: p.boxes[0].Address}
	}
	e.Subject = strings.ToValidUTF8(decodeWords(h.get("Subject"), w.report), "\uFFFD")
	e.MessageID = strings.ToValidUTF8(strings.Trim(h.get("Message-ID"), "<> \t"), "\uFFFD")
	e.XMailer = strings.ToValidUTF8(Truncate(first1(h.get("X-Mailer"), h.get("User-Agent")), 512), "\uFFFD")
	if s := h.get("Date"); s != "" {
		if e.Originated = parseDate(s); e.Originated.IsZero() {
			w.report(DefectDate)
		}
	}
	e.ContentType, _, _ = strings.Cut(strings.ToLower(strings.ToValidUTF8(Truncate(h.get("Content-Type"), 255), "")), ";")
	e.ContentType = strings.TrimSpace(e.ContentType)
	doc.Mail.List = List{ID: bracketed(h.get("List-ID")), Unsubscribe: strings.ToValidUTF8(Truncate(h.get("List-Unsubscribe"), 1024), "")}
	switch strings.ToLower(h.get("Precedence")) {
	case "bulk", "list", "junk":
		doc.Mail.Bulk = true
	}
}

// bracketed returns what stands in the last angle brackets, else all of s.
func bracketed(s string) string {
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		if j := strings.IndexByte(s[i:], '>'); j > 0 {
			s = s[i+1 : i+j]
		}
	}
	return strings.ToValidUTF8(Truncate(strings.TrimSpace(s), 255), "\uFFFD")
}

func (w *walker) from(h header) {
	f := &w.doc.Mail.From
	fields := h.all("From")
	f.Fields = len(fields)
	var all []Mailbox
	strict := true
	for _, s := range fields {
		p := parseAddresses(s, w.report)
		strict = strict && p.strict
		all = append(all, p.boxes...)
	}
	f.Count = len(all)
	if len(fields) > 0 {
		f.Raw = strings.ToValidUTF8(Truncate(fields[0], 2048), "\uFFFD")
	}
	// The last address-like token is the sender; everything else is display.
	var display []string
	sender := -1
	for i := range all {
		if all[i].Address != "" {
			sender = i
		}
	}
	for i, m := range all {
		if m.Address != "" {
			w.doc.Email.From.Address = append(w.doc.Email.From.Address, m.Address)
		}
		if m.Name != "" {
			display = append(display, m.Name)
		} else if i != sender && m.Address != "" {
			display = append(display, m.Address)
		}
	}
	if sender >= 0 {
		f.Mailbox = all[sender]
	} else if a := lastAddress(f.Raw); a != "" {
		f.Mailbox = newMailbox("", a) // inside a comment
		w.doc.Email.From.Address = append(w.doc.Email.From.Address, f.Address)
	}
	f.Name = Truncate(strings.Join(display, " "), 1024)
	f.Malformed = fromDefects(f, strict)
}

func fromDefects(f *From, strict bool) []string {
	var out []string
	add := func(when bool, what string) {
		if when {
			out = append(out, what)
		}
	}
	missing := f.Fields == 0 || strings.TrimSpace(f.Raw) == ""
	add(missing, FromMissing)
	add(f.Fields > 1, FromRepeated)
	add(!missing && f.Address == "", FromNoAddress)
	add(!missing && !strict, FromSyntax)
	add(f.Count > 1, FromSeveral)
	if f.Domain != "" && !strings.HasPrefix(f.Domain, "[") {
		add(!validHostname(f.Domain), FromDomain)
		add(validHostname(f.Domain) && strings.IndexByte(f.Domain, '.') < 0, FromSingle)
	}
	return out
}

func (w *walker) addresses(h header, name string) Addresses {
	var a Addresses
	for _, s := range h.all(name) {
		for _, m := range parseAddresses(s, w.report).boxes {
			if m.Address != "" && len(a.Address) < maxAddresses {
				a.Address = append(a.Address, m.Address)
			}
		}
	}
	return a
}

// trace takes what servers on the way wrote, and what the source knows.
func (w *walker) trace(h header, d Delivery, o Options) {
	doc := w.doc
	for _, s := range h.all("Received") {
		if len(doc.Mail.Received) == maxReceived {
			break
		}
		doc.Mail.Received = append(doc.Mail.Received, parseReceived(valid(s)))
	}
	doc.Mail.Client = client(doc.Mail.Received, o.Border)
	doc.Mail.Auth = trustedAuth(h, doc.Mail.Client, o.Border)
	if d.ClientIP.IsValid() && !o.Border.own(d.ClientIP) {
		doc.Mail.Client = &Client{IP: d.ClientIP, Name: d.HELO, RDNS: d.ClientName, Hop: -1, Method: "connection"}
	}
	if c := doc.Mail.Client; c != nil {
		doc.Source = &Endpoint{IP: c.IP, Domain: c.RDNS}
		if c.RDNS == "unknown" {
			doc.Source.Domain = ""
		}
	}
	env := Envelope{From: d.From, To: d.To, HELO: d.HELO, Null: d.Null}
	if env.From == "" && !env.Null {
		if rp := h.get("Return-Path"); rp == "<>" {
			env.Null = true
		} else if a := lastAddress(rp); a != "" {
			env.From = strings.ToValidUTF8(a, "")
		}
	}
	doc.Mail.Envelope = env
	doc.Email.LocalID = d.QueueID
	doc.Email.Delivered = d.Time.UTC()
	if d.Time.IsZero() && len(doc.Mail.Received) > 0 {
		doc.Email.Delivered = doc.Mail.Received[0].Time
	}
	doc.Timestamp = timestamp(doc, o.Default)
}

// timestamp is the time of delivery, else the time of writing, never later
// than a day after the log had the message: forgers date into the future.
func timestamp(doc *Document, def time.Time) time.Time {
	for _, t := range [...]time.Time{doc.Email.Delivered, doc.Email.Originated} {
		if !t.IsZero() && (def.IsZero() || t.Before(def.Add(24*time.Hour))) {
			return t
		}
	}
	return def.UTC()
}

func (w *walker) finish(o Options) {
	doc := w.doc
	b := &doc.Mail.Body
	sink := &w.plain
	if w.hasHTML && w.htmlText.seen > 0 {
		sink = &w.htmlText
	}
	b.Text = string(sink.b)
	b.TextBytes = sink.seen
	b.ZeroWidth = w.htmlText.zero + w.plain.zero
	if sink.seen > len(sink.b) && len(sink.b)+utf8.UTFMax >= sink.keep {
		w.report(DefectText)
	}
	doc.Email.Direction = direction(doc, o.Own)
	doc.Related = related(doc)
	for d := range w.defects {
		doc.Mail.Defects = append(doc.Mail.Defects, d)
	}
	slices.Sort(doc.Mail.Defects)
}

// direction follows ECS: inbound, outbound, internal, by the own domains.
func direction(doc *Document, own []string) string {
	if len(own) == 0 {
		return ""
	}
	mine := func(addr string) bool {
		d := addr[strings.LastIndexByte(addr, '@')+1:]
		return slices.ContainsFunc(own, func(o string) bool {
			return strings.EqualFold(d, o) || len(d) > len(o) && strings.EqualFold(d[len(d)-len(o)-1:], "."+o)
		})
	}
	to := slices.Concat(doc.Email.To.Address, doc.Email.CC.Address, doc.Mail.Envelope.To)
	switch from, in := mine(doc.Mail.From.Address), slices.ContainsFunc(to, mine); {
	case from && in:
		return "internal"
	case from:
		return "outbound"
	default:
		return "inbound"
	}
}

// maxRelated bounds each list of related values.
const maxRelated = 200

func related(doc *Document) Related {
	var r Related
	add := func(list *[]string, v string) {
		if v != "" && len(*list) < maxRelated && !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
	if doc.Source != nil {
		add(&r.IP, doc.Source.IP.String())
	}
	add(&r.Hosts, doc.Mail.From.Domain)
	for _, m := range doc.Mail.ReplyTo {
		add(&r.Hosts, m.Domain)
	}
	for _, u := range doc.Mail.URLs {
		add(&r.Hosts, u.Domain)
	}
	for _, a := range slices.Concat(doc.Email.From.Address, doc.Email.ReplyTo.Address, doc.Email.To.Address, doc.Email.CC.Address) {
		add(&r.User, a)
	}
	for _, a := range doc.Email.Attachments {
		add(&r.Hash, a.File.Hash.SHA256)
	}
	return r
}

// IsMessage reports whether bytes begin like a message: a field, or an mbox
// line and a field.
func IsMessage(b []byte) bool {
	line, _ := cutLine(cutMboxLine(bytes.TrimLeft(b, "\r\n")))
	name, _ := fieldName(line)
	return name != ""
}
