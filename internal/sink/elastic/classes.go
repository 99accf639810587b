package elastic

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/fault"
)

// Codes of failures.
const (
	CodeUnreachable = "unreachable"  // no connection, or no answer in time
	CodeUnavailable = "unavailable"  // the cluster answers that it cannot work now
	CodeBusy        = "busy"         // too many requests
	CodeDenied      = "denied"       // credentials are missing, wrong, or lack a privilege
	CodeBlocked     = "blocked"      // the index takes nothing: read-only, or the cluster has all the shards it may
	CodeMapping     = "mapping"      // the document does not fit the index's mapping
	CodeDocument    = "bad_document" // no JSON object, or an id no index takes
	CodeTooLarge    = "too_large"    // for one request, or a proxy before the cluster
	CodeAnswer      = "bad_answer"   // not what Elasticsearch or OpenSearch answer
)

// Waits when the other side asks for one without saying how long.
const (
	briefly   = 2 * time.Second
	aWhile    = 10 * time.Second
	forPerson = 30 * time.Second // until a person has changed something there
)

// cause is an error as both servers write it: an object, or text in old
// versions and proxies.
type cause struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

func (c *cause) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &c.Reason)
	}
	type plain cause // without this method
	return json.Unmarshal(b, (*plain)(c))
}

func (c cause) Error() string {
	const most = 1000
	text := c.Reason
	if c.Type != "" {
		text = c.Type + ": " + text
	}
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "�")
}

// refusal classes the status of one document or of a whole request. Only what
// can be nothing but the document's own fault is permanent, since a dead letter
// is final while waiting is not.
func refusal(status int, c cause, after time.Duration) error {
	err := fmt.Errorf("status %d: %w", status, c)
	wait := func(d time.Duration) time.Duration {
		if after > 0 {
			return after
		}
		return d
	}
	switch {
	case status == http.StatusTooManyRequests && strings.Contains(c.Type, "cluster_block"): // a disk is full
		return fault.NewThrottled(CodeBlocked, wait(forPerson), err)
	case status == http.StatusTooManyRequests:
		return fault.NewThrottled(CodeBusy, wait(briefly), err)
	case status == http.StatusServiceUnavailable: // a shard or the master is missing
		return fault.NewThrottled(CodeUnavailable, wait(aWhile), err)
	case status == http.StatusForbidden && strings.Contains(c.Type, "cluster_block"):
		return fault.NewThrottled(CodeBlocked, wait(forPerson), err)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault.NewThrottled(CodeDenied, wait(forPerson), err)
	case c.Type == "validation_exception", strings.Contains(c.Reason, "shards open"):
		return fault.NewThrottled(CodeBlocked, wait(forPerson), err)
	case status == http.StatusRequestEntityTooLarge:
		return fault.NewPermanent(CodeTooLarge, err)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed: // indexes are not made by themselves, or it is another server
		return fault.NewThrottled(CodeBlocked, wait(forPerson), err)
	case status >= 500:
		return fault.NewRetry(CodeUnavailable, err)
	case status == http.StatusBadRequest:
		return fault.NewPermanent(CodeMapping, err)
	}
	return fault.NewRetry(CodeAnswer, err)
}

// ofRequest classes the status of a whole request. A 400 says nothing about
// which document is meant, if any: unlike a document's own it is tried again,
// and only what is refused alone while the cluster answers is at fault.
func ofRequest(status int, c cause, after time.Duration) error {
	err := refusal(status, c, after)
	if f := fault.Of(err); f.Code == CodeMapping {
		return fault.NewRetry(CodeAnswer, f.Err)
	}
	return err
}

var errAnswer = errors.New("the answer is not what Elasticsearch or OpenSearch give")
