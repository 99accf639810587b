// Package code names the error codes of the Kafka protocol that the broker
// answers with (Kafka protocol guide, "Error Codes").
package code

// The codes. Those marked retriable make a client try again by itself.
const (
	None                    int16 = 0
	OffsetOutOfRange        int16 = 1
	CorruptMessage          int16 = 2 // retriable
	UnknownTopicOrPartition int16 = 3 // retriable
	MessageTooLarge         int16 = 10
	OffsetMetadataTooLarge  int16 = 12
	CoordinatorNotAvailable int16 = 15 // retriable
	InvalidTopic            int16 = 17
	InvalidRequiredAcks     int16 = 21
	IllegalGeneration       int16 = 22
	InconsistentProtocol    int16 = 23
	InvalidGroupID          int16 = 24
	UnknownMemberID         int16 = 25
	InvalidSessionTimeout   int16 = 26
	RebalanceInProgress     int16 = 27
	InvalidTimestamp        int16 = 32
	UnsupportedMechanism    int16 = 33
	IllegalSASLState        int16 = 34
	UnsupportedVersion      int16 = 35
	TopicAlreadyExists      int16 = 36
	InvalidPartitions       int16 = 37
	InvalidReplication      int16 = 38
	InvalidAssignment       int16 = 39
	InvalidConfig           int16 = 40
	InvalidRequest          int16 = 42
	UnsupportedForMessage   int16 = 43
	PolicyViolation         int16 = 44
	OutOfOrderSequence      int16 = 45
	DuplicateSequence       int16 = 46
	InvalidProducerEpoch    int16 = 47
	KafkaStorageError       int16 = 56 // retriable
	SASLAuthentication      int16 = 58
	NonEmptyGroup           int16 = 68
	GroupIDNotFound         int16 = 69
	FencedLeaderEpoch       int16 = 74 // retriable
	UnknownLeaderEpoch      int16 = 75 // retriable
	MemberIDRequired        int16 = 79
	GroupMaxSizeReached     int16 = 81
	FencedInstanceID        int16 = 82
	GroupSubscribed         int16 = 86
	InvalidRecord           int16 = 87
	UnknownTopicID          int16 = 100 // retriable
)
