// Package wire speaks the Kafka protocol: connections, frames, sign-in, and
// for each request a thin handler that asks storage or groups and answers.
//
// Requests of a connection are begun in order and answered in order. What must
// wait (an append for the disk, a fetch for records, a join for other members)
// waits in the connection's writer, so the next request is begun meanwhile:
// one connection can have many appends share one sync.
//
// Everything a peer sends is checked against a bound before memory is spent on
// it. The package knows no file and no group's state.
package wire
