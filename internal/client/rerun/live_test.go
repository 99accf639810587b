package rerun_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/obs"
)

func TestWhatTheLiveRunRecordedIsFoundByID(t *testing.T) {
	b := bustest.Open(t)
	for _, d := range []struct{ id, stage, value string }{
		{"a", "mine", "first of a"}, {"b", "other", "of another stage"}, {"a", "mine", "second of a"}, {"c", "mine", "broken"}, {"d", "", "of nobody known"},
	} {
		r := &bus.Record{Topic: bus.TopicEvents, Key: []byte("k"), Value: []byte(d.value), Headers: []bus.Header{
			{Key: event.HeaderID, Value: []byte(d.id)}, {Key: event.HeaderStage, Value: []byte(d.stage)},
		}}
		if err := b.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("broken")
	first := func(value []byte) ([]byte, error) {
		word, _, found := bytes.Cut(value, []byte(" "))
		if !found {
			return nil, broken
		}
		return word, nil
	}
	live, err := rerun.New(b, client.NewRuntime(b, obs.Scope{})).Live(t.Context(), bus.TopicEvents, "mine", time.Time{}, first)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"a": "first", "b": "", "d": "", "e": ""} {
		if got, err := live.Value(t.Context(), id); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
	if _, err := live.Value(t.Context(), "c"); !errors.Is(err, broken) { // it is read again, and its error told
		t.Errorf("a broken document: %v", err)
	}
}
