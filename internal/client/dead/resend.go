package dead

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// Place is where a letter lies: its coordinates.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String returns the place as "topic/partition/offset".
func (p Place) String() string {
	return p.Topic + "/" + strconv.Itoa(int(p.Partition)) + "/" + strconv.FormatInt(p.Offset, 10)
}

// ParsePlace reads what String wrote.
func ParsePlace(s string) (Place, error) {
	parts := strings.Split(s, "/")
	if len(parts) == 3 {
		partition, err1 := strconv.ParseInt(parts[1], 10, 32)
		offset, err2 := strconv.ParseInt(parts[2], 10, 64)
		if err1 == nil && err2 == nil && bus.DeadClient(parts[0]) != "" && partition >= 0 && offset >= 0 {
			return Place{parts[0], int32(partition), offset}, nil
		}
	}
	return Place{}, fmt.Errorf("%q is no dead letter's place: want dead_<client>/<partition>/<offset>", s)
}

// Address returns the record that takes a letter back to its client by way of
// the topic resend.
func Address(l Letter, by string) *bus.Record {
	headers := make([]bus.Header, 0, len(l.Record.Headers)+2*headersOfOneLetter)
	headers = append(headers, l.Record.Headers...)
	add := func(k, v string) { headers = append(headers, bus.Header{Key: k, Value: []byte(v)}) }
	add(headerResend, format)
	add(headerResendClient, l.Client)
	add(HeaderOriginTopic, l.Record.Topic)
	add(HeaderOriginPart, strconv.Itoa(int(l.Record.Partition)))
	add(HeaderOriginOffset, strconv.FormatInt(l.Record.Offset, 10))
	add(HeaderOrigin, l.Origin)
	add(headerResendTime, strconv.FormatInt(l.Record.Timestamp.UnixMilli(), 10))
	add(headerResendBy, by)
	add(headerResendLetter, l.At.String())
	add(HeaderHistory, history(append(slices.Clip(l.History), l.Failure)))
	if l.EditedFrom != "" {
		add(HeaderEditedFrom, l.EditedFrom)
	}
	if l.Record.Key == nil {
		add(headerResendNilKey, "")
	} else {
		add(headerResendKey, string(l.Record.Key))
	}
	if l.Record.Value == nil {
		add(headerResendNilValue, "")
	}
	return &bus.Record{Topic: bus.TopicResend, Key: []byte(l.Client), Value: l.Record.Value, Headers: headers}
}

// Addressee returns the client a record of the topic resend is for.
func Addressee(r *bus.Record) string {
	if border(r, headerResend) == len(r.Headers) {
		return ""
	}
	return bus.Value(r, headerResendClient)
}

// Unwrap returns the letter a record of the topic resend carries, with the
// record as its client was first given it.
func Unwrap(r *bus.Record) Letter {
	border := border(r, headerResend)
	own := *r
	own.Headers = r.Headers[:border:border]
	own.Key = nil
	l := Letter{Record: &own}
	for _, h := range r.Headers[border:] {
		switch v := string(h.Value); h.Key {
		case headerResendClient:
			l.Client = v
		case headerResendKey:
			own.Key = h.Value
			if own.Key == nil {
				own.Key = []byte{}
			}
		case headerResendTime:
			if ms, err := strconv.ParseInt(v, 10, 64); err == nil {
				own.Timestamp = time.UnixMilli(ms)
			}
		case headerResendNilValue:
			own.Value = nil
		case headerResendLetter:
			l.At, _ = ParsePlace(v) // only shown
		default:
			l.take(h.Key, v)
		}
	}
	return l
}
