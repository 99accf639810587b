// Package storage keeps the log on disk: topics of partitions of record
// batches, appended, made durable, read by offset or time, kept until
// retention ends, recovered after a crash.
//
// It owns every file of the data folder (docs/broker.md describes them) and
// the promise that an appended batch whose [Commit] ended without an error is
// on the disk. It knows the header of a record batch and nothing of requests,
// connections or consumer groups.
package storage
