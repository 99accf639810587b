package maillink_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/stagetest"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/maillink"
)

// oneAlert is a log that has one alert and gets no more.
type oneAlert struct{ record *bus.Record }

func (o oneAlert) After(context.Context, string, time.Time) (map[int32]bus.Span, error) {
	return map[int32]bus.Span{0: {To: 1}}, nil
}

func (o oneAlert) Scan(_ context.Context, _ string, _ map[int32]bus.Span, take func(*bus.Record) bool) error {
	take(o.record)
	return nil
}

func (o oneAlert) Tail(ctx context.Context, _ string, _ int64, _ bool, _ func(*bus.Record) bool) error {
	<-ctx.Done()
	return nil
}

// watching is the stage with what keeps its list, which ends with it.
type watching struct {
	*maillink.Stage
	cancel context.CancelFunc
	ended  chan error
}

func watch(alert *bus.Record) client.Stage {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{maillink.New(maillink.Config{}, oneAlert{alert}, obs.Scope{}), cancel, make(chan error, 1)}
	go func() { w.ended <- w.Run(ctx) }()
	return w
}

// Close implements client.Closer.
func (w *watching) Close() error {
	w.cancel()
	return <-w.ended
}

// TestContract watches for one message's link. What is no event is not the
// stage's to bury: detect reads the same topic.
func TestContract(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Second)
	alert := alertOf(t, at, "From: x@bad.example\nSubject: pay\n\nhttp://login.bad.example/x", hygiene.Verdict{Result: hygiene.Bad, Score: 95})
	var good []stagetest.Record
	for i := range 60 {
		host := "login.bad.example"
		if i%3 == 0 {
			host = "fine.example"
		}
		good = append(good, stagetest.Record{Key: strconv.Itoa(i % 5), Value: fmt.Sprintf(
			`{"@timestamp":%q,"event":{"id":"e%d","module":"suricata","dataset":"suricata.dns"},"source":{"ip":"10.0.0.%d"},"dns":{"question":{"name":%q}}}`,
			at.Add(time.Duration(i)*time.Second).Format(time.RFC3339), i, i, host)})
	}
	stagetest.Check(t, stagetest.Case{
		New:   func(testing.TB) client.Stage { return watch(alert) },
		Input: bus.TopicEvents, Outputs: []string{bus.TopicAlerts}, Good: good,
	})
}
