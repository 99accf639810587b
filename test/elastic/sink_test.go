package elastic_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/sinktest"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
	sink "github.com/decodersring/decoder/internal/sink/elastic"
	"github.com/decodersring/decoder/test/elastic"
)

const all = `{"match_all":{}}`

func open(t testing.TB, n *elastic.Node, prefix string) *sink.Sink {
	t.Helper()
	c := sink.Default()
	c.URL, c.Prefix = n.URL(), prefix
	s, err := sink.New(c, nil, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSinkOnRealServers(t *testing.T) {
	for _, p := range elastic.Products() {
		t.Run(p.Name, func(t *testing.T) {
			n := elastic.Start(t, p)
			t.Run("one document at fault is refused alone", func(t *testing.T) { oneAtFault(t, n, p) })
			t.Run("without room for indexes it waits", func(t *testing.T) { noRoom(t, n) })
			t.Run("it keeps the contract", func(t *testing.T) { contract(t, n) })
		})
	}
}

func contract(t *testing.T, n *elastic.Node) {
	base := time.Now().UTC().Add(-time.Hour)
	sinktest.Check(t, sinktest.Case{
		New:   func(t testing.TB) client.Sink { return open(t, n, "contract") },
		Input: bus.TopicEvents,
		Value: func(i int, id string) string {
			return fmt.Sprintf(`{"@timestamp":%q,"event":{"id":%q,"module":"m"},"source":{"ip":"192.0.2.%d"}}`, base.Add(time.Duration(i)*time.Second).Format(time.RFC3339Nano), id, i%250)
		},
		Bad:   `{"@timestamp":`,
		Break: func(testing.TB) { n.Kill() },
		Mend:  n.Restart,
		Stored: func(t testing.TB) map[string]int {
			ids := map[string]int{}
			for _, hit := range n.Search(t, "contract-*", all) {
				ids[hit.ID]++
			}
			return ids
		},
	})
}

func record(topic, id, value string) *client.Record {
	return &client.Record{Record: &bus.Record{
		Topic: topic, Value: []byte(value), Timestamp: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		Headers: []bus.Header{{Key: event.HeaderID, Value: []byte(id)}, {Key: event.HeaderTime, Value: []byte("2026-03-02T08:00:00Z")}},
	}}
}

func oneAtFault(t *testing.T, n *elastic.Node, p elastic.Product) {
	s := open(t, n, "decoder")
	defer s.Close()
	deep := strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60)
	long := strings.Repeat("x", 40_000)
	batch := []*client.Record{
		record(bus.TopicEvents, "good", `{"@timestamp":"2026-03-02T08:00:00Z","source":{"ip":"192.0.2.7"},"message":"find me","suricata":{"eve":{"a":{"b":"c d"}}}}`),
		record(bus.TopicEvents, "object", `{"@timestamp":"2026-03-02T08:00:00Z","source":"not an object"}`),
		record(bus.TopicEvents, "odd", `{"@timestamp":"2026-03-02T08:00:00Z","source":{"ip":"not an address","port":"x"},"message":"odd"}`),
		record(bus.TopicEvents, "lines", "{\n\"@timestamp\":\"2026-03-02T08:00:00Z\"}\n{\"delete\":{\"_index\":\"decoder-events-2026.03.02\",\"_id\":\"good\"}}\n"),
		record(bus.TopicEvents, "pretty", "{\n  \"@timestamp\": \"2026-03-02T08:00:00Z\"\n}\n"),
		record(bus.TopicEvents, "long", `{"@timestamp":"2026-03-02T08:00:00Z","url":{"full":"`+long+`"}}`),
		record(bus.TopicEvents, "longer", `{"@timestamp":"2026-03-02T08:00:00Z","zeek":{"x":"`+long+`"}}`), // flat_object has no ignore_above
		record(bus.TopicEvents, "deep", `{"@timestamp":"2026-03-02T08:00:00Z","json":`+deep+`}`),
		record(bus.TopicEvents, strings.Repeat("i", 513), `{"@timestamp":"2026-03-02T08:00:00Z"}`),
		record(bus.TopicAlerts, "alert", `{"@timestamp":"2026-03-02T08:00:00Z","decoder":{"alert":{"score":70,"checks":[{"name":"a","points":3}]}}}`),
		record(bus.TopicEvents, "good", `{"@timestamp":"2026-03-02T08:00:00Z","message":"the same again"}`),
		record(bus.TopicEvents, "empty", ""),
	}
	wants := map[int]string{1: sink.CodeMapping, 3: sink.CodeDocument, 8: sink.CodeDocument, 11: sink.CodeDocument}
	stored := 6
	if p.Name == "opensearch" {
		wants[6], stored = sink.CodeMapping, 5
	}
	err := s.Write(t.Context(), batch)
	refused, ok := errors.AsType[client.RecordErrors](err)
	if !ok {
		t.Fatalf("got %v, want the errors of single records", err)
	}
	for i, r := range batch {
		name := string(r.Headers[0].Value)
		want := wants[i]
		switch e := refused[i]; {
		case want == "" && e != nil:
			t.Errorf("%.20s is refused: %.300v", name, e)
		case want != "" && (e == nil || fault.Of(e).Class != fault.Permanent || fault.Of(e).Code != want):
			t.Errorf("%.20s: got %.300v, want %s", name, e, want)
		}
	}
	for query, want := range map[string]string{
		`{"term":{"source.ip":"192.0.2.0/24"}}`:                      "good",
		`{"match":{"message":"find"}}`:                               "good",
		`{"term":{"suricata.eve.a.b":"c d"}}`:                        "good",
		`{"exists":{"field":"_ignored"}}`:                            "odd",
		`{"range":{"decoder.alert.score":{"gte":69.5}}}`:             "alert",
		`{"query_string":{"query":"odd"}}`:                           "odd",
		`{"term":{"decoder.alert.checks.name":"a"}}`:                 "alert",
		`{"bool":{"must":[{"match":{"message":"the same again"}}]}}`: "",
	} {
		var got []string
		for _, hit := range n.Search(t, "decoder-*", query) {
			if !strings.HasPrefix(hit.ID, "long") { // whose field is ignored, too
				got = append(got, hit.ID)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s finds %q, want %q", query, got, want)
		}
	}
	for index, want := range map[string]int{"decoder-events-2026.03.02": stored, "decoder-alerts-2026.03": 1} {
		if got := n.Search(t, index, all); len(got) != want {
			t.Errorf("%s holds %d documents, want %d", index, len(got), want)
		}
	}
}

// noRoom runs on a cluster that holds an index already.
func noRoom(t *testing.T, n *elastic.Node) {
	s := open(t, n, "room")
	defer s.Close()
	one := []*client.Record{record(bus.TopicEvents, "one", `{"@timestamp":"2026-03-02T08:00:00Z"}`)}
	n.Call(t, "PUT", "/_cluster/settings", `{"persistent":{"action.auto_create_index":"false"}}`)
	waits(t, s.Write(t.Context(), one), sink.CodeBlocked)
	n.Call(t, "PUT", "/_cluster/settings", `{"persistent":{"action.auto_create_index":"true","cluster.max_shards_per_node":1}}`)
	waits(t, s.Write(t.Context(), one), sink.CodeBlocked)
	n.Call(t, "PUT", "/_cluster/settings", `{"persistent":{"cluster.max_shards_per_node":100}}`)
	if err := s.Write(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	n.Call(t, "PUT", "/room-events-2026.03.02/_settings", `{"index.blocks.write":true}`)
	two := []*client.Record{record(bus.TopicEvents, "two", `{"@timestamp":"2026-03-02T08:00:00Z"}`)}
	waits(t, s.Write(t.Context(), two), sink.CodeBlocked)
	n.Call(t, "PUT", "/room-events-2026.03.02/_settings", `{"index.blocks.write":false}`)
	if err := s.Write(t.Context(), append(one, two...)); err != nil {
		t.Fatal(err)
	}
	if got := n.Search(t, "room-events-*", all); len(got) != 2 {
		t.Errorf("%d documents, want 2", len(got))
	}
}

// waits asserts that the only record is to be sent again, at the cost of no attempt.
func waits(t *testing.T, err error, code string) {
	t.Helper()
	if refused, ok := errors.AsType[client.RecordErrors](err); ok {
		err = refused[0]
	}
	if err == nil || fault.Of(err).Class != fault.Throttled || fault.Of(err).Code != code {
		t.Errorf("got %v, want a wait for %s", err, code)
	}
}
