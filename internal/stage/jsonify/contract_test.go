package jsonify_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/stagetest"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/jsonify"
)

func TestContract(t *testing.T) {
	files, err := filepath.Glob("../../decode/mail/testdata/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	var good []stagetest.Record
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		good = append(good, stagetest.Record{Key: "k", Value: string(raw)})
	}
	stagetest.Check(t, stagetest.Case{
		New:   func(testing.TB) client.Stage { return jsonify.New(jsonify.Config{}, obs.Scope{}) },
		Input: bus.TopicEmail, Outputs: []string{bus.TopicJsonified}, Good: good,
		Bad: []stagetest.Record{{Value: ""}, {Value: " \r\n"}, {Value: "From: a@b\n\nx", Headers: []bus.Header{{Key: mail.HeaderDelivery, Value: []byte("{")}}}},
	})
}
