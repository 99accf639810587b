// Package suricata is the source of what Suricata finds: it keeps an engine
// watching an interface and reads its EVE file into the log, or reads the EVE
// file of an engine somebody else runs. Lines go to the topic as they are; it
// knows their event_type stats, for the sensor's health, and no other.
//
// It appends two kinds of lines of its own, in EVE's manner, so that they take
// the same way as the engine's:
//
//	{"timestamp":"…","event_type":"decoder_gap","in_iface":"eth0","decoder_gap":
//	 {"start":"…","end":"…","seconds":12.3,"reason":"suricata ended: …"}}
//
// says that the interface was not watched between start and end (RFC 3339, in
// UTC). Its origin is "suricata:gap-<sensor>-<interface>:<start in
// microseconds since 1970>".
//
//	{"timestamp":"…","event_type":"decoder_truncated","decoder_truncated":
//	 {"bytes":17000000,"sha256":"…","head":"<base64>","reason":"…"}}
//
// stands for a line longer than the log takes; its origin says where that
// lies (package batch).
package suricata
