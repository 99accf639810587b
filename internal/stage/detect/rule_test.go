package detect

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/stagetest"
	"github.com/decodersring/decoder/internal/event"
)

// same is what alertLine says of its rule.
func same() Rule {
	return Rule{
		Name: `EXAMPLE "root" <answer>`, Revision: 7, Category: "Potentially Bad Traffic", Priority: 1,
		Severity: "Critical", Confidence: "Low", Malware: "A family with a name longer than thirty-two",
	}
}

func alertBy(t *testing.T, rules map[string]Rule) (records []*bus.Record) {
	t.Helper()
	records, err := client.TryFrom(t.Context(), New(Suricata{Rules: rules}), eventOf(t, alertLine, ""))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestTheSameRulesGiveTheSameAlerts(t *testing.T) {
	live := alertBy(t, nil)
	again := alertBy(t, map[string]Rule{"1:2100498": same()})
	if len(live) != 1 || len(again) != 1 || string(live[0].Value) != string(again[0].Value) {
		t.Errorf("%s\n%s", live[0].Value, again[0].Value)
	}
	bare := same()
	bare.Category, bare.Priority = "", 0 // its class is not known here
	if again = alertBy(t, map[string]Rule{"1:2100498": bare}); string(live[0].Value) != string(again[0].Value) {
		t.Errorf("%s\n%s", live[0].Value, again[0].Value)
	}
}

func TestARuleThatIsNotThereGivesNoAlert(t *testing.T) {
	for _, rules := range []map[string]Rule{{}, {"2:2100498": same()}, {"1:9": same()}} {
		if got := alertBy(t, rules); len(got) != 0 {
			t.Errorf("%v: %s", rules, got[0].Value)
		}
	}
}

func TestAChangedRuleChangesItsAlertsUnderTheirIDs(t *testing.T) {
	live := alertBy(t, nil)[0]
	changed := Rule{Name: "another", Revision: 8, Category: "Other", Priority: 3, Malware: "Other"}
	got := alertBy(t, map[string]Rule{"1:2100498": changed})[0]
	if bus.Value(got, event.HeaderID) != bus.Value(live, event.HeaderID) || string(got.Key) != string(live.Key) {
		t.Error("id or group is another")
	}
	var doc struct {
		Message string
		Rule    map[string]any
		Source  map[string]any
		Decoder struct {
			Alert struct {
				Severity, Title string
				Score           int
				Badges          []string
			}
		}
	}
	if err := json.Unmarshal(got.Value, &doc); err != nil {
		t.Fatalf("%v: %s", err, got.Value)
	}
	want := map[string]any{"id": "2100498", "name": "another", "version": "8", "category": "Other"}
	if d := cmp.Diff(want, doc.Rule); d != "" {
		t.Errorf("rule (-want +got):\n%s", d)
	}
	a := doc.Decoder.Alert
	if a.Severity != "low" || a.Title != "another" || a.Score != 25 || a.Badges[2] != "Other" || doc.Source["ip"] != "203.0.113.9" {
		t.Errorf("%s", got.Value)
	}
}

func TestContractWithRulesOfItsOwn(t *testing.T) {
	changed := same()
	changed.Revision = 8
	r := eventOf(t, alertLine, "")
	stagetest.Check(t, stagetest.Case{
		New: func(testing.TB) client.Stage {
			return New(Suricata{Rules: map[string]Rule{"1:2100498": changed}}, Gap{})
		},
		Input:   bus.TopicEvents,
		Outputs: []string{bus.TopicAlerts},
		Good:    []stagetest.Record{{Key: string(r.Key), Value: string(r.Value)}, {Key: string(r.Key), Value: string(r.Value)}},
	})
}
