package mail

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Shapes in which a message arrives on the log, as they stand in mail.shape.
const (
	ShapeRaw      = "raw"      // RFC 5322, LF or CRLF, with or without an mbox line
	ShapeLogstash = "logstash" // a JSON event whose "message" is the raw message
	ShapeFields   = "fields"   // an event of logstash-input-imap: headers as fields
	ShapeJournal  = "journal"  // an Exchange journal report around the message
)

// ErrEmpty is returned for a record that holds no message at all.
var ErrEmpty = errors.New("the record holds no message")

// Unwrap finds the message in a record's value, and what the wrapping knows
// of its delivery. Bytes in no known wrapping are taken for the message
// itself. Its only error is [ErrEmpty].
func Unwrap(value []byte) (raw []byte, d Delivery, shape string, err error) {
	trimmed := bytes.TrimLeft(value, " \t\r\n\ufeff")
	if len(trimmed) == 0 {
		return nil, d, "", ErrEmpty
	}
	raw, shape = value, ShapeRaw
	if trimmed[0] == '{' {
		if inner, s, ok := unwrapJSON(trimmed); ok {
			raw, shape = inner, s
		}
	}
	if inner, jd, ok := unwrapJournal(raw); ok {
		return inner, jd, ShapeJournal, nil
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, d, "", ErrEmpty
	}
	return raw, d, shape, nil
}

func unwrapJSON(b []byte) (raw []byte, shape string, ok bool) {
	var obj map[string]json.RawMessage
	if json.Unmarshal(b, &obj) != nil {
		return nil, "", false
	}
	var message string
	if json.Unmarshal(obj["message"], &message) != nil {
		if json.Unmarshal(fieldIn(obj, "event", "original"), &message) != nil {
			return nil, "", false
		}
	}
	if hasHeaderFields(obj) {
		return fromFields(obj, message), ShapeFields, true
	}
	if !IsMessage([]byte(message)) {
		return nil, "", false
	}
	return []byte(message), ShapeLogstash, true
}

func fieldIn(obj map[string]json.RawMessage, outer, inner string) json.RawMessage {
	var o map[string]json.RawMessage
	if json.Unmarshal(obj[outer], &o) != nil {
		return nil
	}
	return o[inner]
}

// eventFields are what Logstash itself puts into an event.
var eventFields = []string{"message", "@timestamp", "@version", "@metadata", "tags", "type", "host", "path", "event", "log", "ecs", "agent", "input", "attachments"}

// bodyFields describe the encoding of a body that the plugin has decoded.
var bodyFields = []string{"content-type", "content-transfer-encoding", "content-disposition", "mime-version"}

func hasHeaderFields(obj map[string]json.RawMessage) bool {
	for k := range obj {
		switch strings.ToLower(k) {
		case "from", "subject", "received", "message-id":
			return true
		}
	}
	return false
}

// fromFields writes the message again that the plugin took apart. Its order
// of fields is lost, and so are the parts it did not keep.
func fromFields(obj map[string]json.RawMessage, body string) []byte {
	var out bytes.Buffer
	keys := make([]string, 0, len(obj))
	for k := range obj {
		if name, _ := fieldName([]byte(k + ":")); name == k && !slices.Contains(eventFields, k) && !slices.Contains(bodyFields, strings.ToLower(k)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		for _, v := range stringsOf(obj[k]) {
			out.WriteString(k)
			out.WriteString(": ")
			out.WriteString(strings.NewReplacer("\r", "", "\n", " ").Replace(v))
			out.WriteByte('\n')
		}
	}
	media := "text/plain"
	if head := strings.ToLower(Truncate(body, 4096)); strings.Contains(head, "<html") || strings.Contains(head, "<body") || strings.Contains(head, "<div") || strings.Contains(head, "<table") {
		media = "text/html"
	}
	out.WriteString("Content-Type: " + media + "; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")
	out.WriteString(body)
	return out.Bytes()
}

func stringsOf(v json.RawMessage) []string {
	var one string
	if json.Unmarshal(v, &one) == nil {
		return []string{one}
	}
	var many []string
	if json.Unmarshal(v, &many) == nil {
		return many
	}
	return nil
}

// unwrapJournal takes an Exchange journal report apart: a multipart of exactly
// a text that holds nothing but the envelope, and the message. Anything else
// stays wrapped, so that the wrapping cannot be used to hide a message.
func unwrapJournal(raw []byte) ([]byte, Delivery, bool) {
	head := raw[:min(len(raw), 64<<10)]
	if !containsFold(head, "x-ms-journal-report") && !containsFold(head, "exjournalreport") {
		return nil, Delivery{}, false
	}
	l := DefaultLimits()
	none := func(string) {}
	h, body := splitHeader(cutMboxLine(raw), l, none)
	if !hasField(h, "X-MS-Journal-Report") && !strings.EqualFold(h.get("Content-Identifier"), "exjournalreport") {
		return nil, Delivery{}, false
	}
	w := walker{limits: l, defects: map[string]bool{}, doc: &Document{}}
	c := w.content(h)
	boundary := c.params["boundary"]
	if !strings.HasPrefix(c.media, "multipart/") || boundary == "" {
		return nil, Delivery{}, false
	}
	var parts [][]byte
	for rest, in := body, false; ; in = true {
		part, next, _ := nextPart(rest, []byte("--"+boundary), in)
		if part != nil {
			parts = append(parts, part)
		}
		if next == nil || len(parts) > 2 {
			break
		}
		rest = next
	}
	if len(parts) != 2 {
		return nil, Delivery{}, false
	}
	th, text := splitHeader(parts[0], l, none)
	mh, message := splitHeader(parts[1], l, none)
	if !strings.HasPrefix(w.content(th).media, "text/plain") || w.content(mh).media != "message/rfc822" {
		return nil, Delivery{}, false
	}
	d, ok := journalEnvelope(decodeTransfer(text, th.get("Content-Transfer-Encoding"), none))
	if !ok {
		return nil, Delivery{}, false
	}
	return decodeTransfer(message, mh.get("Content-Transfer-Encoding"), none), d, true
}

func hasField(h header, name string) bool {
	return slices.ContainsFunc(h.fields, func(f field) bool { return strings.EqualFold(f.name, name) })
}

func containsFold(b []byte, lower string) bool {
	return bytes.Contains(bytes.ToLower(b), []byte(lower))
}

// journalEnvelope reads "Sender: a", "Recipient: b, Forwarded: c" and their
// like; ok is false when any other line stands there.
func journalEnvelope(text []byte) (d Delivery, ok bool) {
	for len(text) > 0 {
		var line []byte
		line, text = cutLine(text)
		s := strings.TrimSpace(string(line))
		if s == "" {
			continue
		}
		k, v, found := strings.Cut(s, ":")
		if !found {
			return Delivery{}, false
		}
		switch strings.ToLower(strings.TrimSpace(k)) {
		case "sender":
			d.From = lastAddress(v)
		case "recipient", "to", "cc", "bcc":
			addr, _, _ := strings.Cut(v, ",")
			if a := lastAddress(addr); a != "" && !slices.Contains(d.To, a) && len(d.To) < maxAddresses {
				d.To = append(d.To, a)
			}
		case "on-behalf-of", "subject", "message-id", "label", "sentutc", "receivedutc":
		default:
			return Delivery{}, false
		}
	}
	return d, d.From != "" || len(d.To) > 0
}
