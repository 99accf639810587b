// Package replay sends captures through the sensor: a job names captures, a
// warm engine reads each of them, and what it wrote is appended to the log.
//
// A job lives in the data folder until it is done, so it survives any end of
// the program. Within a job's folder a capture passes through these states:
//
//	<n>.run/   the engine works on it; found at a start, it is discarded
//	<n>.done/  the engine reported it done: eve.json is whole and synced, and
//	           meta.json says where its records come from; reached by rename
//	(neither)  the log has acknowledged every line, and job.json says so
//
// The origin of a record is "suricata:capture-<SHA-256 of the capture, unpacked
// where it is gzipped>-<hash of rules and configuration>:<line>", lines counted
// from 0 without the engine's statistics, so feeding an EVE file again gives
// the same ids. The engine writes the same lines in another order each time, so
// a capture that was replayed before with the same rules, under whatever name,
// packed or not, is not read again: its account, in the folder known, says what
// it gave. When its events are no longer stored it is read again, under an
// origin of its own.
//
// It knows the engine and the log, and neither what becomes of the records nor
// who asks for a replay.
package replay
