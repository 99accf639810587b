package bus

import (
	"strings"
	"time"
)

// Topics of the catalogue.
const (
	TopicSuricata   = "suricata_ingest"
	TopicZeek       = "zeek_ingest"
	TopicOsquery    = "osquery_ingest"
	TopicSyslog     = "syslog_ingest"
	TopicJSON       = "json_ingest"
	TopicEmail      = "email_ingest"
	TopicJsonified  = "email_jsonified"
	TopicRecheck    = "email_recheck" // messages whose verdict lacks an answer, until it is asked for again
	TopicEmailAlert = "email_alert"
	TopicEvents     = "events"
	TopicAlerts     = "alerts"
	TopicTriage     = "triage"
	TopicDeadState  = "dead_state"
	TopicResend     = "resend"
	TopicReruns     = "reruns"
)

// deadPrefix begins the name of a client's topic of dead letters.
const deadPrefix = "dead_"

// Class says how a topic takes part in the log's disk budget.
type Class uint8

const (
	// ClassIngest is what came from outside and was, or will be, decoded: none
	// is taken in while the log is full of what is still to be read.
	ClassIngest Class = iota
	// ClassDerived can be made again from what it was derived from.
	ClassDerived
	// ClassAlerts is small and wanted long.
	ClassAlerts
	// ClassDead holds what nobody has handled yet: the last a budget removes.
	ClassDead
	// ClassKept lies outside the budget.
	ClassKept
)

const (
	mebibyte   = 1 << 20
	day        = 24 * time.Hour
	maxIngest  = 16 * mebibyte
	maxEmail   = 64 * mebibyte
	maxWrapped = maxEmail + mebibyte
)

// Topic declares one topic of the log.
type Topic struct {
	Name       string
	Partitions int32
	Retention  time.Duration // by the record's time; 0 keeps without limit of age
	Compact    bool          // keep the last record per key instead
	MaxMessage int32         // bytes of the largest record batch
	Class      Class
}

// Override is what a user may set differently for a topic. Zero values leave
// the catalogue's.
type Override struct {
	Partitions int32
	Retention  time.Duration
}

// Catalogue returns every topic of the program but the dead letters', which
// are one a client: see [DeadTopic].
func Catalogue() []Topic {
	ingest := func(name string) Topic {
		return Topic{Name: name, Partitions: 6, Retention: 7 * day, MaxMessage: maxIngest, Class: ClassIngest}
	}
	return []Topic{
		ingest(TopicSuricata), ingest(TopicZeek), ingest(TopicOsquery), ingest(TopicSyslog), ingest(TopicJSON),
		{Name: TopicEmail, Partitions: 12, Retention: 7 * day, MaxMessage: maxEmail, Class: ClassIngest},
		{Name: TopicJsonified, Partitions: 12, Retention: 3 * day, MaxMessage: maxEmail, Class: ClassDerived},
		{Name: TopicRecheck, Partitions: 6, Retention: 3 * day, MaxMessage: maxEmail, Class: ClassDerived},
		{Name: TopicEmailAlert, Partitions: 12, Retention: 90 * day, MaxMessage: maxIngest, Class: ClassAlerts},
		{Name: TopicEvents, Partitions: 6, Retention: 3 * day, MaxMessage: maxIngest, Class: ClassDerived},
		{Name: TopicAlerts, Partitions: 6, Retention: 90 * day, MaxMessage: maxIngest, Class: ClassAlerts},
		{Name: TopicTriage, Partitions: 6, MaxMessage: mebibyte, Class: ClassKept},
		{Name: TopicDeadState, Partitions: 1, Compact: true, MaxMessage: mebibyte, Class: ClassKept},
		{Name: TopicResend, Partitions: 6, Retention: 7 * day, MaxMessage: maxWrapped, Class: ClassDerived},
		{Name: TopicReruns, Partitions: 6, Retention: 30 * day, MaxMessage: maxIngest, Class: ClassDerived},
	}
}

// intake reports whether the topic is one that records come into the program
// by.
func intake(topic string) bool { return strings.HasSuffix(topic, "_ingest") }

// DeadTopic declares the topic of a client's dead letters. They are kept until
// a person has dealt with them: age removes none.
func DeadTopic(client string) Topic {
	return Topic{Name: deadPrefix + client, Partitions: 6, MaxMessage: maxWrapped, Class: ClassDead}
}

// DeadClient returns the client whose dead letters the topic holds, or "".
func DeadClient(topic string) string {
	client, ok := strings.CutPrefix(topic, deadPrefix)
	if !ok || topic == TopicDeadState {
		return ""
	}
	return client
}

// Lookup returns the declaration of a topic. One that is not of the catalogue,
// as a user's own stage may write, is taken for derived.
func Lookup(name string) Topic {
	for _, t := range Catalogue() {
		if t.Name == name {
			return t
		}
	}
	if client := DeadClient(name); client != "" {
		return DeadTopic(client)
	}
	return Topic{Name: name, Partitions: 6, Retention: 7 * day, MaxMessage: maxIngest, Class: ClassDerived}
}

// maxMessages is Lookup's largest message, without the work of a lookup.
type maxMessages map[string]int32

func newMaxMessages() maxMessages {
	m := maxMessages{}
	for _, t := range Catalogue() {
		m[t.Name] = t.MaxMessage
	}
	return m
}

func (m maxMessages) of(topic string) int32 {
	if n, ok := m[topic]; ok {
		return n
	}
	return Lookup(topic).MaxMessage
}
