package bus_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

func record(topic, key, value, origin string) *bus.Record {
	return &bus.Record{Topic: topic, Key: []byte(key), Value: []byte(value),
		Headers: []bus.Header{{Key: event.HeaderOrigin, Value: []byte(origin)}}}
}

func TestAppendedRecordsSurviveAReopening(t *testing.T) {
	dir := t.TempDir()
	config := bus.Config{Dir: dir}
	first, err := bus.Open(t.Context(), config, scope(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Append(t.Context(), record(bus.TopicSuricata, "s", "one", "x:y:1"), record(bus.TopicSuricata, "s", "two", "x:y:2")); err != nil {
		t.Fatal(err)
	}
	id, err := first.TopicID(t.Context(), bus.TopicSuricata)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()

	second := bustest.OpenConfig(t, config)
	var values []string
	for _, r := range bustest.All(t, second, bus.TopicSuricata) {
		values = append(values, string(r.Value))
	}
	if fmt.Sprint(values) != "[one two]" {
		t.Errorf("after reopening: %v", values)
	}
	if again, err := second.TopicID(t.Context(), bus.TopicSuricata); err != nil || again != id {
		t.Errorf("topic id changed: %v %v %v", id, again, err)
	}
}

func TestTooLargeARecordIsAPermanentFault(t *testing.T) {
	b := bustest.Open(t)
	err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicTriage, Value: bytes.Repeat([]byte("ab"), 1<<20)})
	if err == nil || fault.Of(err).Class != fault.Permanent || fault.Of(err).Code != bus.CodeTooLarge {
		t.Fatalf("err = %v", err)
	}
}

// A source waits outside the producer, whose room is the stages', and is told
// why.
func TestASourceIsToldWhyTheLogTakesNothingIn(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), MinFree: 1 << 60}, scope(t))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	err = b.Append(t.Context(), record(bus.TopicSuricata, "s", "one", "x:y:1"))
	if f := fault.Of(err); f.Class != fault.Retry || f.Code != bus.CodeLog || !strings.Contains(err.Error(), "free disk space is below the limit") {
		t.Errorf("appending ends with %v", err)
	}
	if b.Refused() == nil {
		t.Error("the log says that it takes records in")
	}
}

func TestLargestMailPasses(t *testing.T) {
	b := bustest.Open(t)
	mail := make([]byte, 60<<20)
	for i := range mail {
		mail[i] = byte(i * 2654435761 >> 13) // does not compress
	}
	if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEmail, Value: mail}); err != nil {
		t.Fatal(err)
	}
	if got := bustest.All(t, b, bus.TopicEmail); len(got) != 1 || !bytes.Equal(got[0].Value, mail) {
		t.Fatalf("read back %d records", len(got))
	}
}

func TestOpenEndsWithItsContextWhileTheLogIsAway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := bus.Open(ctx, bus.Config{Brokers: []string{"127.0.0.1:1"}}, scope(t)); err == nil {
		t.Fatal("opened a log that is not there")
	}
}

func TestLastOriginIsFoundAmongOtherKeys(t *testing.T) {
	b := bustest.Open(t)
	for i := range 3000 {
		if err := appendSome(t.Context(), b, i); err != nil {
			t.Fatal(err)
		}
		if i > 20 {
			break
		}
	}
	got, err := b.LastOrigin(t.Context(), bus.TopicSuricata, "sensor-1", "suricata:eve-a:")
	if err != nil || got != "suricata:eve-a:20" {
		t.Errorf("last origin = %q, %v", got, err)
	}
	got, err = b.LastOrigin(t.Context(), bus.TopicSuricata, "sensor-1", "suricata:eve-unknown:")
	if err != nil || got != "" {
		t.Errorf("last origin of an unknown file = %q, %v", got, err)
	}
}

func appendSome(ctx context.Context, b *bus.Bus, i int) error {
	if i > 20 { // then a long run of others' records in the same topic
		var others []*bus.Record
		for j := range 20_000 {
			others = append(others, record(bus.TopicSuricata, fmt.Sprint("other-", j%50), "x", "zeek:x:1"))
		}
		return b.Append(ctx, others...)
	}
	return b.Append(ctx, record(bus.TopicSuricata, "sensor-1", "x", fmt.Sprintf("suricata:eve-a:%d", i)))
}

func TestTailShowsTheLastAndFollows(t *testing.T) {
	b := bustest.Open(t)
	for i := range 5 {
		if err := b.Append(t.Context(), record(bus.TopicDeadState, "k", strconv.Itoa(i), "")); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	err := b.Tail(t.Context(), bus.TopicDeadState, 2, true, func(r *bus.Record) bool {
		got = append(got, string(r.Value))
		if len(got) == 2 {
			if err := b.Append(t.Context(), record(bus.TopicDeadState, "k", "new", "")); err != nil {
				t.Error(err)
			}
		}
		return len(got) < 3
	})
	if err != nil || fmt.Sprint(got) != "[3 4 new]" {
		t.Fatalf("tail = %v, %v", got, err)
	}
}

func TestCataloguedTopicsAreAdministered(t *testing.T) {
	b := bustest.OpenConfig(t, bus.Config{Dir: t.TempDir(), Relaxed: true, Budget: 1 << 30,
		Topics: map[string]bus.Override{bus.TopicEvents: {Retention: time.Hour}}})
	if err := b.Append(t.Context(), record(bus.TopicEvents, "k", "value", "")); err != nil {
		t.Fatal(err)
	}
	infos, err := b.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]bus.TopicInfo{}
	for _, i := range infos {
		byName[i.Name] = i
	}
	for _, want := range bus.Catalogue() {
		got, ok := byName[want.Name]
		if !ok || len(got.Partitions) != int(want.Partitions) || got.Compact != want.Compact {
			t.Errorf("%s: %+v", want.Name, got)
		}
	}
	if e := byName[bus.TopicEvents]; e.Records != 1 || e.Bytes <= 0 || e.RetentionSeconds != 3600 {
		t.Errorf("events: %+v", e)
	}
}

// reader is a member that reads everything.
type reader struct {
	given chan map[bus.Partition]bus.Position
}

func (r *reader) Assigned(_ context.Context, given map[bus.Partition]bus.Position) (map[bus.Partition]int64, error) {
	r.given <- given
	return nil, nil
}
func (r *reader) Revoked(context.Context, []bus.Partition, bool) {}

func TestCommitsKeepTheirMetadataAndLagIsReported(t *testing.T) {
	b := bustest.Open(t)
	if err := b.Append(t.Context(), record(bus.TopicDeadState, "k", "1", ""), record(bus.TopicDeadState, "k", "2", "")); err != nil {
		t.Fatal(err)
	}
	tp := bus.Partition{Topic: bus.TopicDeadState}
	join := func() (*bus.Group, map[bus.Partition]bus.Position) {
		m := &reader{given: make(chan map[bus.Partition]bus.Position, 1)}
		g, err := b.Join(bus.GroupOptions{Group: "g", Topics: []string{bus.TopicDeadState}, Member: m})
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for seen == 0 {
			if err := g.Poll(t.Context(), 1, func(batch bus.Batch) { seen += len(batch.Records) }); err != nil {
				t.Fatal(err)
			}
		}
		return g, <-m.given
	}
	g, given := join()
	if given[tp].Offset != -1 {
		t.Errorf("first position %+v", given[tp])
	}
	if err := g.Commit(t.Context(), map[bus.Partition]bus.Position{tp: {Offset: 1, Metadata: "seen"}}); err != nil {
		t.Fatal(err)
	}
	groups, err := b.Groups(t.Context(), "g")
	if err != nil || len(groups) != 1 || groups[0].Lag != 1 || groups[0].LagSeconds <= 0 || len(groups[0].Members) != 1 {
		t.Errorf("groups = %+v, %v", groups, err)
	}
	g.Leave()
	g, given = join()
	defer g.Leave()
	if given[tp] != (bus.Position{Offset: 1, Metadata: "seen"}) {
		t.Errorf("second position %+v", given[tp])
	}
}
