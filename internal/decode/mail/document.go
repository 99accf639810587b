package mail

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Document is a message as JSON: one nested ECS object. Times are UTC; sizes
// are bytes; domains are lower case and in their ASCII form.
type Document struct {
	Timestamp time.Time `json:"@timestamp"`
	ECS       ECS       `json:"ecs"`
	Event     Event     `json:"event"`
	Email     Email     `json:"email"`
	Source    *Endpoint `json:"source,omitempty"`
	Related   Related   `json:"related"`
	Mail      Mail      `json:"mail"`
	Decoder   *Decoder  `json:"decoder,omitempty"`
}

// ECS is the ecs field set.
type ECS struct {
	Version string `json:"version"`
}

// Event is the part of ECS event a message has.
type Event struct {
	Kind     string    `json:"kind"`
	Category []string  `json:"category"`
	Type     []string  `json:"type"`
	Module   string    `json:"module"`
	Dataset  string    `json:"dataset"`
	ID       string    `json:"id,omitempty"`
	Created  time.Time `json:"created,omitzero"`
}

// Email is the ECS email field set.
type Email struct {
	From        Addresses    `json:"from,omitzero"`
	To          Addresses    `json:"to,omitzero"`
	CC          Addresses    `json:"cc,omitzero"`
	BCC         Addresses    `json:"bcc,omitzero"`
	ReplyTo     Addresses    `json:"reply_to,omitzero"`
	Sender      *Sender      `json:"sender,omitempty"`
	Subject     string       `json:"subject,omitempty"`
	MessageID   string       `json:"message_id,omitempty"`
	LocalID     string       `json:"local_id,omitempty"`
	XMailer     string       `json:"x_mailer,omitempty"`
	Direction   string       `json:"direction,omitempty"`
	Originated  time.Time    `json:"origination_timestamp,omitzero"`
	Delivered   time.Time    `json:"delivery_timestamp,omitzero"`
	ContentType string       `json:"content_type,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"`
}

// Addresses is a list of addr-specs.
type Addresses struct {
	Address []string `json:"address,omitempty"`
}

// IsZero reports whether the list is empty.
func (a Addresses) IsZero() bool { return len(a.Address) == 0 }

// Sender is ECS email.sender.
type Sender struct {
	Address string `json:"address"`
}

// Attachment is one of ECS email.attachments.
type Attachment struct {
	File File `json:"file"`
}

// File is an attachment's file. MIMEType is what the message declares,
// Detected what the content's first bytes say.
type File struct {
	Name      string   `json:"name,omitempty"`
	Extension string   `json:"extension,omitempty"`
	MIMEType  string   `json:"mime_type,omitempty"`
	Size      int64    `json:"size"`
	Hash      Hash     `json:"hash"`
	Detected  string   `json:"detected_type,omitempty"`
	Archive   *Archive `json:"archive,omitempty"`
	Macro     bool     `json:"macro,omitempty"`
	Inline    bool     `json:"inline,omitempty"`
}

// Hash is a file's hashes in lower-case hexadecimal.
type Hash struct {
	MD5    string `json:"md5"`
	SHA1   string `json:"sha1"`
	SHA256 string `json:"sha256"`
}

// Archive is what an archive's directory says; nothing is inflated.
type Archive struct {
	Entries   int      `json:"entries"`
	Names     []string `json:"names,omitempty"` // the first 50
	Encrypted bool     `json:"encrypted,omitempty"`
}

// Endpoint is the SMTP peer as ECS source.
type Endpoint struct {
	IP     netip.Addr `json:"ip,omitzero"`
	Domain string     `json:"domain,omitempty"`
}

// Related is the ECS related field set.
type Related struct {
	IP    []string `json:"ip,omitempty"`
	Hosts []string `json:"hosts,omitempty"`
	User  []string `json:"user,omitempty"`
	Hash  []string `json:"hash,omitempty"`
}

// Mail is what ECS has no field for.
type Mail struct {
	SchemaVersion int             `json:"schema_version"`
	Identity      string          `json:"identity"`
	Raw           Raw             `json:"raw"`
	Headers       []Header        `json:"headers,omitempty"`
	From          From            `json:"from"`
	ReplyTo       []Mailbox       `json:"reply_to,omitempty"`
	Envelope      Envelope        `json:"envelope,omitzero"`
	Received      []Received      `json:"received,omitempty"`
	Client        *Client         `json:"client,omitempty"`
	Auth          Auth            `json:"auth,omitzero"`
	List          List            `json:"list,omitzero"`
	Bulk          bool            `json:"bulk,omitempty"`
	URLs          []URL           `json:"urls,omitempty"`
	Body          Body            `json:"body"`
	Parts         int             `json:"parts"`
	Defects       []string        `json:"defects,omitempty"`
	Shape         string          `json:"shape,omitempty"`
	Verdict       json.RawMessage `json:"verdict,omitempty"`
}

// Raw identifies the bytes the document was made of.
type Raw struct {
	SHA256    string `json:"sha256"`
	Size      int64  `json:"size"`
	Truncated bool   `json:"truncated,omitempty"`
}

// Header is one field, in order. Value is unfolded, encoded words decoded;
// Raw is the unfolded field body where it differs, bytes that are no UTF-8
// replaced.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Raw   string `json:"raw,omitempty"`
}

// Mailbox is a name and an address of a header.
type Mailbox struct {
	Name             string `json:"name,omitempty"`
	Address          string `json:"address"`
	Domain           string `json:"domain,omitempty"`
	RegisteredDomain string `json:"registered_domain,omitempty"`
}

// From is the From field in full. Malformed names what a strict reader of RFC
// 5322 would refuse it for.
type From struct {
	Mailbox
	Raw       string   `json:"raw,omitempty"`
	Count     int      `json:"count"`  // mailboxes
	Fields    int      `json:"fields"` // From fields in the header
	Malformed []string `json:"malformed,omitempty"`
}

// Envelope is what SMTP said, where the source knows it.
type Envelope struct {
	From string   `json:"from,omitempty"`
	To   []string `json:"to,omitempty"`
	HELO string   `json:"helo,omitempty"`
	// Null says that the sender was the null reverse-path.
	Null bool `json:"null,omitempty"`
}

// IsZero reports whether nothing of the envelope is known.
func (e Envelope) IsZero() bool {
	return e.From == "" && len(e.To) == 0 && e.HELO == "" && !e.Null
}

// Received is one trace field, newest first.
type Received struct {
	From string     `json:"from,omitempty"` // the name the client gave
	RDNS string     `json:"rdns,omitempty"` // the name the receiver found, or "unknown"
	IP   netip.Addr `json:"ip,omitzero"`
	By   string     `json:"by,omitempty"`
	With string     `json:"with,omitempty"`
	For  string     `json:"for,omitempty"`
	Time time.Time  `json:"time,omitzero"`
}

// Client is the host that handed the message to the border. Method is
// "connection" (the source saw it), "border" (the Received field of a
// configured host) or "first_public" (nothing configured: the first public
// address from the top, a guess).
type Client struct {
	IP     netip.Addr `json:"ip"`
	Name   string     `json:"name,omitempty"`
	RDNS   string     `json:"rdns,omitempty"`
	Hop    int        `json:"hop"`
	Method string     `json:"method"`
}

// Auth is what an Authentication-Results field says, or what was computed.
// Results are those of RFC 8601; Trusted says that the field was written by
// a configured border host, or computed here.
type Auth struct {
	SPF      string       `json:"spf,omitempty"`
	DKIM     []DKIMResult `json:"dkim,omitempty"`
	DMARC    string       `json:"dmarc,omitempty"`
	ARC      string       `json:"arc,omitempty"`
	Trusted  bool         `json:"trusted,omitempty"`
	ServID   string       `json:"authserv_id,omitempty"`
	Computed bool         `json:"computed,omitempty"`
	Time     time.Time    `json:"time,omitzero"` // when it was computed
}

// IsZero reports whether nothing is known.
func (a Auth) IsZero() bool {
	return a.SPF == "" && len(a.DKIM) == 0 && a.DMARC == "" && a.ARC == ""
}

// DKIMResult is one signature's result.
type DKIMResult struct {
	Result string `json:"result"`
	Domain string `json:"domain,omitempty"`
}

// List is what marks mail of a mailing list.
type List struct {
	ID          string `json:"id,omitempty"`
	Unsubscribe string `json:"unsubscribe,omitempty"`
}

// IsZero reports whether the message carries no list fields.
func (l List) IsZero() bool { return l == List{} }

// URL is a link. Source is href, form, img or text; Text is what the reader
// sees of a href.
type URL struct {
	URL              string `json:"url"`
	Domain           string `json:"domain,omitempty"`
	RegisteredDomain string `json:"registered_domain,omitempty"`
	Text             string `json:"text,omitempty"`
	Source           string `json:"source"`
}

// Body is the text a reader sees and what is countable about it.
type Body struct {
	Text      string `json:"text,omitempty"`
	TextBytes int    `json:"text_bytes"`         // visible characters' bytes, before any cut
	HTMLBytes int    `json:"html_bytes"`         // of all HTML parts
	Images    int    `json:"images,omitempty"`   // img elements
	Pixels    int    `json:"pixels,omitempty"`   // of these at most 2×2
	Forms     int    `json:"forms,omitempty"`    // form elements
	Password  int    `json:"password,omitempty"` // password inputs
	Scripts   int    `json:"scripts,omitempty"`
	Hidden    int    `json:"hidden,omitempty"`     // bytes of text styled away
	ZeroWidth int    `json:"zero_width,omitempty"` // invisible characters inside words
}

// Decoder is where the raw record lies.
type Decoder struct {
	Raw *RawRecord `json:"raw,omitempty"`
}

// RawRecord is a place in the log.
type RawRecord struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}
