package wire

import (
	"errors"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

var (
	errAcks          = errors.New("acks must be 0, 1 or -1")
	errTransactional = errors.New("transactions are not served")
	errNoConfig      = errors.New("only topics have a configuration")
	errReplication   = errors.New("invalid replication factor")
	errAssignment    = errors.New("invalid assignment of replicas")
	errRepeated      = errors.New("the request names it more than once")
	errNaming        = errors.New("a topic is named by its name or its ID")
)

// errorCode is the code for an error of a handler or of the storage.
func errorCode(err error) int16 {
	if err == nil {
		return code.None
	}
	for _, e := range []struct {
		err  error
		code int16
	}{
		{errAcks, code.InvalidRequiredAcks},
		{errTransactional, code.InvalidRequest},
		{errNoConfig, code.InvalidRequest},
		{errRepeated, code.InvalidRequest},
		{errNaming, code.InvalidRequest},
		{errReplication, code.InvalidReplication},
		{errAssignment, code.InvalidAssignment},
		{storage.ErrUnknownTopic, code.UnknownTopicOrPartition},
		{storage.ErrClosed, code.UnknownTopicOrPartition},
		{storage.ErrInvalidTopic, code.InvalidTopic},
		{storage.ErrOffsetOutOfRange, code.OffsetOutOfRange},
		{storage.ErrCorrupt, code.CorruptMessage},
		{storage.ErrBadCRC, code.CorruptMessage},
		{storage.ErrTooLarge, code.MessageTooLarge},
		{storage.ErrInvalidBatch, code.InvalidRecord},
		{storage.ErrNoKey, code.InvalidRecord},
		{storage.ErrOldMagic, code.UnsupportedForMessage},
		{storage.ErrTimestamp, code.InvalidTimestamp},
		{storage.ErrSequence, code.OutOfOrderSequence},
		{storage.ErrDuplicateSequence, code.DuplicateSequence},
		{storage.ErrFenced, code.InvalidProducerEpoch},
		{storage.ErrTopicExists, code.TopicAlreadyExists},
		{storage.ErrInvalidPartitions, code.InvalidPartitions},
		{storage.ErrInvalidConfig, code.InvalidConfig},
	} {
		if errors.Is(err, e.err) {
			return e.code
		}
	}
	return code.KafkaStorageError // a disk that fails or is full: try again
}

// failure is how an error is told: its code, and its text.
func failure(err error) (int16, *string) {
	if err == nil {
		return code.None, nil
	}
	return errorCode(err), new(err.Error())
}
