// Package vlogs is the embedded store: VictoriaLogs' storage library in this
// process, behind the interfaces of package store.
//
// It owns the storage folders, what a document's columns are, how a query is
// answered from them, that one document is kept per id, and that what was
// flushed survives. It knows nothing of the log, of records or of what
// documents mean.
//
// The library has traits that shape this package:
//
//   - It drops a row that is too large, too old or too wide with no more than a
//     line in its log. Rows are checked before they go in.
//   - Rows written are durable only seconds later, whatever its flush says. See
//     barrier.
//   - It knows no ids. See ids.
//   - It ends the process when it meets damage. See guard.
//   - It reads the process's flags, and logs through a variable. See library.
//   - Values are text. See hint.
package vlogs
