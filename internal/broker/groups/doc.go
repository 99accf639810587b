// Package groups coordinates consumer groups by the classic protocol: who is
// a member, who reads what, and how far each group has read.
//
// A group moves from empty to preparing (members join), completing (the leader
// assigns) and stable, and back to preparing whenever a member comes, goes or
// changes its mind; each round has a generation, and what carries an older one
// is refused. Offsets and the members of a stable group are written to a
// compacted log before they are answered, in the encoding Kafka uses in
// __consumer_offsets, and are read back from it at start.
//
// The package takes and gives Kafka's messages, and writes to a [Log]; it
// knows neither connections nor files.
package groups
