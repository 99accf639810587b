// Package mail decodes one Internet message (RFC 5322, MIME) into a document:
// the Elastic Common Schema's email fields, and under "mail" what a verdict
// about the message needs beyond them.
//
// It owns the tolerant reading of headers, the bounded walk over the parts,
// the message's identity and the four shapes in which a message arrives on
// the log. It does not judge: a document says what is in a message, never
// whether it is good. It reads no network and no file, and a clock only for its last limit.
//
// Every input gives a document. What is broken or hits a limit is named in
// mail.defects; nothing is an error.
package mail

import "time"

// SchemaVersion is the version of the fields under "mail".
const SchemaVersion = 1

// ecsVersion is the version of the Elastic Common Schema the document follows.
const ecsVersion = "8.17.0"

// Limits bound what one message may cost. A zero field takes the default.
type Limits struct {
	Message     int           // bytes read of a message; 50 MB
	HeaderBlock int           // bytes of one header block; 1 MB
	Fields      int           // fields of one header block; 1,000
	Field       int           // bytes of one field; 64 KB
	Depth       int           // nested multiparts and messages; 32
	Parts       int           // parts of a message; 1,000
	Text        int           // bytes of text kept; 1 MB
	TextScan    int           // bytes of text searched for links; 8 MB
	URLs        int           // links kept; 1,000
	Entries     int           // entries read of an archive's directory; 1,000
	Ratio       int           // inflated to stored size of an archive; 100
	Inflated    int64         // inflated size an archive may claim; 64 MB
	Time        time.Duration // 5 s; the last resort, the others hold before
}

// DefaultLimits returns the limits that apply where none are set.
func DefaultLimits() Limits {
	return Limits{
		Message: 50 << 20, HeaderBlock: 1 << 20, Fields: 1000, Field: 64 << 10,
		Depth: 32, Parts: 1000, Text: 1 << 20, TextScan: 8 << 20, URLs: 1000,
		Entries: 1000, Ratio: 100, Inflated: 64 << 20, Time: 5 * time.Second,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range [...]struct {
		v *int
		d int
	}{
		{&l.Message, d.Message}, {&l.HeaderBlock, d.HeaderBlock}, {&l.Fields, d.Fields},
		{&l.Field, d.Field}, {&l.Depth, d.Depth}, {&l.Parts, d.Parts}, {&l.Text, d.Text},
		{&l.TextScan, d.TextScan}, {&l.URLs, d.URLs}, {&l.Entries, d.Entries}, {&l.Ratio, d.Ratio},
	} {
		if *f.v <= 0 {
			*f.v = f.d
		}
	}
	if l.Inflated <= 0 {
		l.Inflated = d.Inflated
	}
	if l.Time <= 0 {
		l.Time = d.Time
	}
	return l
}

// Defects of a message, as they stand in mail.defects. A "limit_" defect says
// that the document is not the whole message.
const (
	DefectMessageSize     = "limit_message_size"
	DefectHeaderBlock     = "limit_header_block"
	DefectHeaderFields    = "limit_header_fields"
	DefectHeaderField     = "limit_header_field"
	DefectDepth           = "limit_depth"
	DefectParts           = "limit_parts"
	DefectText            = "limit_text"
	DefectURLs            = "limit_urls"
	DefectArchiveEntries  = "limit_archive_entries"
	DefectArchiveSize     = "limit_archive_size"
	DefectHashed          = "limit_hashed"
	DefectTime            = "limit_time"
	DefectHeaderLine      = "header_line_without_colon"
	DefectHeaderEnd       = "header_without_end"
	DefectBoundaryMissing = "boundary_missing"
	DefectBoundaryEnd     = "boundary_unterminated"
	DefectContentType     = "content_type_malformed"
	DefectEncoding        = "transfer_encoding_unknown"
	DefectBase64          = "base64_malformed"
	DefectCharset         = "charset_unknown"
	DefectEncodedWord     = "encoded_word_malformed"
	DefectArchive         = "archive_malformed"
	DefectDate            = "date_malformed"
	DefectNUL             = "nul_bytes"
)
