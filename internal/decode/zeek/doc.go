// Package zeek decodes lines of Zeek's logs to ECS, JSON and TSV, as Zeek 3 to
// 8 write them. What has no field in ECS stays as it was under zeek and the
// log's name (zeek.conn), and nothing is dropped. The mapping is the table in
// logs.go; the reference page docs/reference/ecs-zeek.md is made from it.
//
// Which log a line is of says, in this order: the member _path, the one member
// that the object is wrapped in ({"conn":{…}}, as Zeek's Kafka writer does), or
// Meta.Format, the header of the log. A line of TSV needs that header for its
// columns, and becomes the JSON that Zeek would have written: unset columns are
// left out, sets and vectors are arrays, escapes such as \x09 stay. Lines that
// begin with # are headers and give no event.
package zeek
