package hygiene_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	checks "github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/hygiene"
	"github.com/decodersring/decoder/internal/stage/jsonify"
)

// counting is a service that counts what it is asked.
type counting struct {
	asked  atomic.Int32
	result string
}

func (c *counting) Ask(context.Context, *mail.Document, []checks.Answer) []checks.Answer {
	c.asked.Add(1)
	return []checks.Answer{{Service: "test", Kind: "domain", Value: "bad.example", Result: c.result, Detail: "said so"}}
}

// stranger says of every sender that nobody wrote before.
type stranger struct{ asked atomic.Int32 }

func (s *stranger) See(*mail.Document) checks.Past { s.asked.Add(1); return checks.Past{} }

// jsonified is a record of email_jsonified.
func jsonified(t *testing.T, message string) *bus.Record {
	t.Helper()
	made, err := client.Try(t.Context(), jsonify.New(jsonify.Config{}, obs.Scope{}), &bus.Record{Topic: bus.TopicEmail, Value: []byte(message)})
	if err != nil || len(made) != 1 {
		t.Fatalf("%d documents, %v", len(made), err)
	}
	return made[0]
}

func byTopic(records []*bus.Record) map[string]string {
	out := map[string]string{}
	for _, r := range records {
		out[r.Topic+" "+bus.Value(r, event.HeaderID)] = string(r.Value)
	}
	return out
}

// recordedIn finds the events among records.
func recordedIn(records []*bus.Record) hygiene.Recorded {
	return func(_ context.Context, id string) ([]byte, error) {
		for _, r := range records {
			if r.Topic == bus.TopicEvents && bus.Value(r, event.HeaderID) == id {
				return hygiene.Recall(r.Value)
			}
		}
		return nil, nil
	}
}

func TestARepeatedVerdictIsTheSameAndNobodyIsAsked(t *testing.T) {
	lists, err := checks.Load("")
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range []string{"bad", "clean", "error"} {
		service, past := &counting{result: result}, &stranger{}
		engine := checks.New(checks.Config{}, lists, service, past)
		in := jsonified(t, phish)
		live, err := client.Try(t.Context(), hygiene.New(engine, checks.Keep{}, obs.Scope{}), in)
		if err != nil {
			t.Fatal(err)
		}
		asked, seen := service.asked.Load(), past.asked.Load()
		if asked != 1 || seen != 1 {
			t.Fatalf("the live stage asked %d times, and the past %d", asked, seen)
		}
		// With an engine that could ask, so that not asking is the stage's doing.
		again, err := client.Try(t.Context(), hygiene.NewRepeat(engine, checks.Keep{}, recordedIn(live)), in)
		if err != nil {
			t.Fatal(err)
		}
		if service.asked.Load() != asked || past.asked.Load() != seen {
			t.Errorf("%s: a rerun asked", result)
		}
		want := byTopic(live)
		for key := range want {
			if key[:len(bus.TopicRecheck)] == bus.TopicRecheck {
				delete(want, key) // nothing is to be asked again
			}
		}
		if d := cmp.Diff(want, byTopic(again)); d != "" {
			t.Errorf("%s (-live +again):\n%s", result, d)
		}
	}
}

func TestARepeatedVerdictCountsWithThePointsOfNow(t *testing.T) {
	lists, err := checks.Load("")
	if err != nil {
		t.Fatal(err)
	}
	in := jsonified(t, phish)
	live, err := client.Try(t.Context(), hygiene.New(checks.New(checks.Config{}, lists, &counting{result: "bad"}, &stranger{}), checks.Keep{}, obs.Scope{}), in)
	if err != nil {
		t.Fatal(err)
	}
	calmer := checks.New(checks.Config{Disabled: []string{"reputation_domain", "domain_new"}}, lists, nil, nil)
	again, err := client.Try(t.Context(), hygiene.NewRepeat(calmer, checks.Keep{}, recordedIn(live)), in)
	if err != nil {
		t.Fatal(err)
	}
	was, now := parse(t, live[0]).Mail.Verdict, parse(t, again[0]).Mail.Verdict
	for _, c := range now.Checks {
		if c.Name == "reputation_domain" || c.Name == "domain_new" {
			t.Errorf("check %s is off", c.Name)
		}
	}
	if len(now.Checks) >= len(was.Checks) || len(now.Answers) != 1 {
		t.Errorf("was %+v, is %+v", was, now)
	}
}

func TestAVerdictThatIsNotRecordedIsIncomplete(t *testing.T) {
	good := jsonified(t, "From: ada@fine.example\nTo: bob@mine.example\nMessage-ID: <1@fine.example>\nSubject: Hello\n\nHello")
	none := func(context.Context, string) ([]byte, error) { return nil, nil }
	made, err := client.Try(t.Context(), hygiene.NewRepeat(engine(t, &counting{result: "clean"}), checks.Keep{}, none), good)
	if err != nil || len(made) != 1 {
		t.Fatalf("%d documents, %v", len(made), err)
	}
	if v := parse(t, made[0]).Mail.Verdict; !v.Incomplete || v.Result != checks.Unknown {
		t.Errorf("%+v", v)
	}
	away := func(context.Context, string) ([]byte, error) { return nil, fault.NewRetry("log", errors.New("away")) }
	if _, err := client.Try(t.Context(), hygiene.NewRepeat(engine(t, nil), checks.Keep{}, away), good); fault.Of(err).Class != fault.Retry {
		t.Errorf("the log is away: %v", err)
	}
	broken := func(context.Context, string) ([]byte, error) { return []byte(`7`), nil }
	if _, err := client.Try(t.Context(), hygiene.NewRepeat(engine(t, nil), checks.Keep{}, broken), good); code(err) != "bad_verdict" {
		t.Errorf("a broken verdict: %v", err)
	}
}
