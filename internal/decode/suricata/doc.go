// Package suricata decodes Suricata's EVE log, one JSON object a line, as
// Suricata 7 and 8 write it (and dns of version 1 and 2 from older ones), to
// ECS. What has no field in ECS stays as it was under suricata.eve, and nothing
// is dropped. The mapping is the table in rules.go and types.go; the reference
// page docs/reference/ecs-suricata.md is made from it.
//
// Quirks of EVE it knows: IPv6 addresses are written out in full; source and
// destination are those of the packet in an alert and those of the client and
// server in a flow; a name may repeat; dns has three shapes, and a fourth inside
// alerts; numbers exceed 2^53.
package suricata
