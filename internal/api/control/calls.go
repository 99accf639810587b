package control

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/store"
)

const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete

// Alerts returns one page of the inbox.
func (c *Client) Alerts(ctx context.Context, f api.AlertFilter) (inbox.List, error) {
	return call[inbox.List](ctx, c, get, "/alerts", f)
}

// Alert returns an alert group with what explains it.
func (c *Client) Alert(ctx context.Context, group string) (api.AlertDetail, error) {
	return call[api.AlertDetail](ctx, c, get, "/alerts/{group}", api.AlertKey{Group: group})
}

// ChangeAlerts archives, escalates, notes and so on.
func (c *Client) ChangeAlerts(ctx context.Context, ch api.AlertChange) (api.AlertChanged, error) {
	return call[api.AlertChanged](ctx, c, post, "/alerts/changes", ch)
}

// RebuildInbox empties the inbox and has it built again from the log.
func (c *Client) RebuildInbox(ctx context.Context) error {
	_, err := call[api.Empty](ctx, c, post, "/alerts/rebuild", api.Empty{})
	return err
}

// Search returns one page of events.
func (c *Client) Search(ctx context.Context, s api.Search) (api.SearchPage, error) {
	return call[api.SearchPage](ctx, c, get, "/search", s)
}

// SearchStream calls take for each event that matches, newest first. The bytes
// are valid until take returns.
func (c *Client) SearchStream(ctx context.Context, s api.Search, take func(json.RawMessage) error) error {
	return lines(ctx, c, get, "/search/stream", s, func(line []byte) error { return take(line) })
}

// Count returns how many events match.
func (c *Client) Count(ctx context.Context, q api.Question) (uint64, error) {
	n, err := call[api.Counted](ctx, c, get, "/search/count", q)
	return n.Count, err
}

// Facet returns the most frequent values of a field.
func (c *Client) Facet(ctx context.Context, q api.FacetQuestion) ([]store.Bucket, error) {
	b, err := call[api.Buckets](ctx, c, get, "/search/facet", q)
	return b.Buckets, err
}

// Histogram counts events by steps of time.
func (c *Client) Histogram(ctx context.Context, q api.HistogramQuestion) (api.Histogram, error) {
	return call[api.Histogram](ctx, c, get, "/search/histogram", q)
}

// Fields returns the fields that matching events have.
func (c *Client) Fields(ctx context.Context, q api.Question) ([]store.Bucket, error) {
	b, err := call[api.Buckets](ctx, c, get, "/search/fields", q)
	return b.Buckets, err
}

// Stats returns what Home shows.
func (c *Client) Stats(ctx context.Context, r api.Range) (api.Stats, error) {
	return call[api.Stats](ctx, c, get, "/stats", r)
}

// Topics returns the topics of the log.
func (c *Client) Topics(ctx context.Context) ([]bus.TopicInfo, error) {
	l, err := call[api.List[bus.TopicInfo]](ctx, c, get, "/topics", api.Empty{})
	return l.Items, err
}

// Groups returns the consumer groups of the log.
func (c *Client) Groups(ctx context.Context) ([]bus.GroupInfo, error) {
	l, err := call[api.List[bus.GroupInfo]](ctx, c, get, "/groups", api.Empty{})
	return l.Items, err
}

// Tail calls take for records of a topic.
func (c *Client) Tail(ctx context.Context, t api.Tail, take func(api.Record) error) error {
	return stream(ctx, c, get, "/topics/{topic}/tail", t, take)
}

// DeadLetters returns records that clients could not handle.
func (c *Client) DeadLetters(ctx context.Context, f api.DeadLetterFilter) (api.DeadLetterList, error) {
	return call[api.DeadLetterList](ctx, c, get, "/deadletters", f)
}

// DeadLetter returns one dead letter with its bytes.
func (c *Client) DeadLetter(ctx context.Context, topic string, partition int32, offset int64) (api.DeadLetter, error) {
	return call[api.DeadLetter](ctx, c, get, "/deadletters/{topic}/{partition}/{offset}",
		api.DeadLetterKey{Topic: topic, Partition: partition, Offset: offset})
}

// Resend sends dead letters back to their client, and returns how many.
func (c *Client) Resend(ctx context.Context, l api.Letters) (int, error) {
	n, err := call[api.LetterCount](ctx, c, post, "/deadletters/resend", l)
	return n.Count, err
}

// Discard discards dead letters, and returns how many.
func (c *Client) Discard(ctx context.Context, l api.Letters) (int, error) {
	n, err := call[api.LetterCount](ctx, c, post, "/deadletters/discard", l)
	return n.Count, err
}

// TryLetter runs a dead letter through its stage without writing anything.
func (c *Client) TryLetter(ctx context.Context, t api.LetterTry) (api.LetterTried, error) {
	return call[api.LetterTried](ctx, c, post, "/deadletters/try", t)
}

// EditLetter sends a dead letter back with another value.
func (c *Client) EditLetter(ctx context.Context, t api.LetterTry) error {
	_, err := call[api.Empty](ctx, c, post, "/deadletters/edit", t)
	return err
}

// BeginRerun runs a stage again over what the log holds.
func (c *Client) BeginRerun(ctx context.Context, r api.RerunRequest) (api.Rerun, error) {
	return call[api.Rerun](ctx, c, post, "/reruns", r)
}

// Reruns returns the reruns, newest first.
func (c *Client) Reruns(ctx context.Context) ([]api.Rerun, error) {
	l, err := call[api.List[api.Rerun]](ctx, c, get, "/reruns", api.Empty{})
	return l.Items, err
}

// Rerun returns a rerun with how far it has come.
func (c *Client) Rerun(ctx context.Context, id string) (api.Rerun, error) {
	return call[api.Rerun](ctx, c, get, "/reruns/{id}", api.RerunKey{ID: id})
}

// CompareRerun returns what a rerun made otherwise than the live run.
func (c *Client) CompareRerun(ctx context.Context, id string) (d rerun.Difference, err error) {
	err = stream(ctx, c, get, "/reruns/{id}/difference", api.RerunKey{ID: id}, func(one rerun.Difference) error {
		d = one
		return nil
	})
	return d, err
}

// ContinueRerun goes on with a rerun that was interrupted.
func (c *Client) ContinueRerun(ctx context.Context, id string) error {
	_, err := call[api.Empty](ctx, c, post, "/reruns/{id}/continue", api.RerunKey{ID: id})
	return err
}

// CancelRerun cancels a rerun.
func (c *Client) CancelRerun(ctx context.Context, id string) error {
	_, err := call[api.Empty](ctx, c, del, "/reruns/{id}", api.RerunKey{ID: id})
	return err
}

// SubmitReplay starts a replay of captures.
func (c *Client) SubmitReplay(ctx context.Context, r api.ReplayRequest) (api.Replay, error) {
	return call[api.Replay](ctx, c, post, "/replays", r)
}

// Replays returns the replay jobs.
func (c *Client) Replays(ctx context.Context) ([]api.Replay, error) {
	l, err := call[api.List[api.Replay]](ctx, c, get, "/replays", api.Empty{})
	return l.Items, err
}

// Replay returns a replay job.
func (c *Client) Replay(ctx context.Context, id string) (api.Replay, error) {
	return call[api.Replay](ctx, c, get, "/replays/{id}", api.ReplayKey{ID: id})
}

// WatchReplay calls take for the news of a replay until it has ended, or, when
// wait is set, until all its events are searchable.
func (c *Client) WatchReplay(ctx context.Context, id string, wait bool, take func(api.ReplayUpdate) error) error {
	return stream(ctx, c, get, "/replays/{id}/watch", api.ReplayWatch{ID: id, Wait: wait}, take)
}

// CancelReplay ends a replay.
func (c *Client) CancelReplay(ctx context.Context, id string) error {
	_, err := call[api.Empty](ctx, c, del, "/replays/{id}", api.ReplayKey{ID: id})
	return err
}

// Rules returns detection rules.
func (c *Client) Rules(ctx context.Context, f api.RuleFilter) (api.RuleList, error) {
	return call[api.RuleList](ctx, c, get, "/rules", f)
}

// UpdateRules fetches, tests and loads the rules.
func (c *Client) UpdateRules(ctx context.Context, progress func(string)) (api.RuleUpdate, error) {
	return await[api.RuleUpdate](ctx, c, "/rules/update", progress)
}

// ChangeRules enables or disables rules.
func (c *Client) ChangeRules(ctx context.Context, ch api.RuleChange) (api.RuleUpdate, error) {
	return call[api.RuleUpdate](ctx, c, post, "/rules/changes", ch)
}

// Sensors returns what watches.
func (c *Client) Sensors(ctx context.Context) ([]api.Sensor, error) {
	l, err := call[api.List[api.Sensor]](ctx, c, get, "/sensors", api.Empty{})
	return l.Items, err
}

// Services returns how the outside services stand.
func (c *Client) Services(ctx context.Context) ([]api.Service, error) {
	l, err := call[api.List[api.Service]](ctx, c, get, "/services", api.Empty{})
	return l.Items, err
}

// Health returns the state of the instance and its parts.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	return call[api.Health](ctx, c, get, "/health", api.Empty{})
}

// Destinations returns who is told of alerts.
func (c *Client) Destinations(ctx context.Context) ([]api.Destination, error) {
	l, err := call[api.List[api.Destination]](ctx, c, get, "/notify", api.Empty{})
	return l.Items, err
}

// TestDestination has the instance send a trial message, and returns why the
// destination did not take it, or "".
func (c *Client) TestDestination(ctx context.Context, name string) (string, error) {
	t, err := call[api.DestinationTested](ctx, c, post, "/notify/test", api.DestinationKey{Name: name})
	return t.Error, err
}

// SelfTest has the instance test itself.
func (c *Client) SelfTest(ctx context.Context, progress func(string)) (api.SelfTestResult, error) {
	return await[api.SelfTestResult](ctx, c, "/selftest", progress)
}

// Config returns the configuration in force as YAML, secrets redacted.
func (c *Client) Config(ctx context.Context) (string, error) {
	p, err := call[api.Printed](ctx, c, get, "/config", api.Empty{})
	return p.YAML, err
}

// Version returns what is running.
func (c *Client) Version(ctx context.Context) (api.Version, error) {
	return call[api.Version](ctx, c, get, "/version", api.Empty{})
}

// SetPassword sets a user's password; without one it is generated, and
// returned.
func (c *Client) SetPassword(ctx context.Context, ch api.PasswordChange) (api.PasswordChanged, error) {
	return call[api.PasswordChanged](ctx, c, post, "/password", ch)
}
