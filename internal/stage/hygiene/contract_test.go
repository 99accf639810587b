package hygiene_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/stagetest"
	checks "github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/hygiene"
)

// messages are records of email_jsonified, good and bad ones in turn.
func messages(t *testing.T, n int) (records []stagetest.Record) {
	t.Helper()
	for i := range n {
		text := fmt.Sprintf("From: ada@fine%d.example\nTo: bob@mine.example\nMessage-ID: <%d@fine.example>\nSubject: Hello\n\nHello", i, i)
		if i%2 == 0 {
			text = fmt.Sprintf("From: PayPal ,_<x@bad%d.example>\nTo: bob@mine.example\nSubject: Final notice\nMessage-ID: <%d@bad.example>\n\nhttps://x.sbs/", i, i)
		}
		r := jsonified(t, text)
		records = append(records, stagetest.Record{Key: string(r.Key), Value: string(r.Value)})
	}
	return records
}

func notDocuments() []stagetest.Record {
	return []stagetest.Record{{Value: ""}, {Value: "{}"}, {Value: `{"mail":{"schema_version":99,"identity":"x"}}`}, {Value: "[]"}}
}

func TestContract(t *testing.T) {
	out := []string{bus.TopicEvents, bus.TopicEmailAlert, bus.TopicRecheck}
	for _, result := range []string{"bad", "error"} {
		for _, concurrency := range []int{0, 16} {
			t.Run(fmt.Sprint(result, concurrency), func(t *testing.T) {
				stagetest.Check(t, stagetest.Case{
					New: func(testing.TB) client.Stage {
						return hygiene.New(engine(t, &counting{result: result}), checks.Keep{}, obs.Scope{})
					},
					Input: bus.TopicJsonified, Outputs: out, Good: messages(t, 40), Bad: notDocuments(), Concurrency: concurrency,
				})
			})
		}
	}
}

func TestContractOfRepeating(t *testing.T) {
	stagetest.Check(t, stagetest.Case{
		New: func(testing.TB) client.Stage {
			none := func(context.Context, string) ([]byte, error) { return nil, nil }
			return hygiene.NewRepeat(engine(t, nil), checks.Keep{}, none)
		},
		Input: bus.TopicJsonified, Outputs: []string{bus.TopicEvents, bus.TopicEmailAlert}, Good: messages(t, 40), Bad: notDocuments(),
	})
}

// TestContractOfRechecking has verdicts that lacked an answer, which is there
// now.
func TestContractOfRechecking(t *testing.T) {
	away := hygiene.New(engine(t, &counting{result: "error"}), checks.Keep{}, obs.Scope{})
	var good []stagetest.Record
	for _, m := range messages(t, 40) {
		made, err := client.Try(t.Context(), away, &bus.Record{Topic: bus.TopicJsonified, Key: []byte(m.Key), Value: []byte(m.Value)})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range made {
			if r.Topic == bus.TopicRecheck {
				good = append(good, stagetest.Record{Key: string(r.Key), Value: string(r.Value), Headers: r.Headers})
			}
		}
	}
	if len(good) != 40 {
		t.Fatalf("%d messages wait to be checked again", len(good))
	}
	stagetest.Check(t, stagetest.Case{
		New: func(testing.TB) client.Stage {
			now := hygiene.New(engine(t, &counting{result: "bad"}), checks.Keep{}, obs.Scope{})
			return hygiene.NewRecheck(now, time.Millisecond, 3)
		},
		Input: bus.TopicRecheck, Outputs: []string{bus.TopicEvents, bus.TopicEmailAlert}, Good: good, Bad: notDocuments(),
	})
}
