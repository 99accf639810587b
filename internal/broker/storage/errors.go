package storage

import (
	"errors"
	"fmt"
)

// Errors of the log. What a caller may do about each is said with it; the
// text that wraps them says where and why.
var (
	// ErrOffline: the partition's disk failed; try again, it is re-opened.
	ErrOffline = errors.New("partition is offline")
	// ErrDiskFull: the free-disk guard refuses writes; try again later.
	ErrDiskFull = errors.New("free disk space is below the limit")
	// ErrUnread: nothing more is taken in before what is there has been read;
	// try again later.
	ErrUnread = errors.New("the disk budget is full of what is still to be read")
	// ErrClosed: the log is closing, or the topic was deleted.
	ErrClosed = errors.New("partition is closed")
	// ErrOffsetOutOfRange: the log does not hold that offset.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrCorrupt: what lies on the disk at that offset is not what was
	// written. Batches before and after it can be read.
	ErrCorrupt = errors.New("corrupt batch on disk")
	// ErrTooLarge: the batch is larger than the topic allows.
	ErrTooLarge = errors.New("batch is larger than max.message.bytes")
	// ErrBadCRC: the batch changed on its way here.
	ErrBadCRC = errors.New("batch does not match its CRC")
	// ErrInvalidBatch: the producer made a batch no reader would accept.
	ErrInvalidBatch = errors.New("invalid batch")
	// ErrOldMagic: the batch is of a format before version 2 (Kafka 0.11).
	ErrOldMagic = errors.New("message format before version 2")
	// ErrTimestamp: a timestamp the topic does not allow.
	ErrTimestamp = errors.New("invalid timestamp")
	// ErrNoKey: a record without a key for a compacted topic.
	ErrNoKey = errors.New("record without a key in a compacted topic")
	// ErrSequence: an idempotent producer left a batch out.
	ErrSequence = errors.New("out of order sequence number")
	// ErrDuplicateSequence: the batch was appended too long ago to tell where.
	ErrDuplicateSequence = errors.New("duplicate sequence number")
	// ErrFenced: a producer of a newer epoch has taken over.
	ErrFenced = errors.New("producer epoch is fenced")
	// ErrUnknownTopic, ErrTopicExists: as they say.
	ErrUnknownTopic = errors.New("unknown topic or partition")
	ErrTopicExists  = errors.New("topic already exists")
	// ErrInvalidTopic: a name that is not [a-zA-Z0-9._-]{1,249}.
	ErrInvalidTopic = errors.New("invalid topic name")
	// ErrInvalidPartitions: a count that is out of bounds or would shrink.
	ErrInvalidPartitions = errors.New("invalid number of partitions")
	// ErrInvalidConfig: an unknown name or a value that cannot be.
	ErrInvalidConfig = errors.New("invalid topic configuration")
	// ErrFormat: the data folder was written by a newer version.
	ErrFormat = errors.New("unknown data format")
)

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidBatch, fmt.Sprintf(format, a...))
}
