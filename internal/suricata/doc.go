// Package suricata controls the Suricata engine (7.0 and later): the
// configuration it runs under, its command socket, the warm worker that reads
// captures, the process that watches an interface, and the health read from
// its statistics. It owns no record and knows neither log nor topics: what
// the engine finds it writes to EVE files, and others read those.
//
// Quirks of the engine that this package is built around, as of 7.0.10:
//
//   - Settings that the configuration leaves out do not have the values of the
//     configuration the engine ships. With them left out, alerts differ from
//     run to run. So the generated configuration states every one that alerts
//     depend on.
//   - It takes 18 s and 400 MB to load 36,000 rules, so a capture is given to
//     a process that has them loaded (unix-socket mode, about 30 ms a
//     capture).
//   - The command socket answers one request at a time and closes nothing by
//     itself. A capture is done when pcap-current says "None" and
//     pcap-file-number says 0. Nothing on the socket says that a capture could
//     not be read; the statistics in its EVE file and the messages on standard
//     error do.
//   - It can crash on hostile packets. Whoever runs it has to expect that.
package suricata
