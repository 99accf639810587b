package custom

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/stagetest"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/obs"
)

// TestContract holds every kind of stage to the contract.
func TestContract(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(w, `{"bytes":%d}`, len(body))
	}))
	defer server.Close()
	noJSON := []stagetest.Record{{Value: ""}, {Value: `{"a":`}}
	for name, c := range map[string]struct {
		config Config
		bad    []stagetest.Record
	}{
		"filter":  {Config{Filter: `event.n % 2 == 0`}, []stagetest.Record{{Value: `{"n":"text"}`}}},
		"map":     {Config{Map: `[{"m": event.n}, {"m": event.n + 1}]`}, []stagetest.Record{{Value: `{"n":{}}`}}},
		"route":   {Config{Route: []Route{{`event.n > 5`, "big"}, {"", "small"}}}, nil},
		"convert": {Config{Convert: &Convert{From: "json", To: "kv"}}, noJSON},
		"http":    {Config{HTTP: &HTTP{URL: server.URL, Merge: "answer"}}, noJSON},
		"exec":    {Config{Exec: &Exec{Command: []string{"python3", "testdata/program.py"}}}, []stagetest.Record{{Value: `"array"`}}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.config.Exec != nil {
				if _, err := exec.LookPath("python3"); err != nil {
					t.Skip("the test program needs python3: install it")
				}
			}
			c.config.Name, c.config.From, c.config.To = "mine", []string{bus.TopicJSON}, "out"
			if c.config.Route != nil {
				c.config.To = ""
			}
			var good []stagetest.Record
			for i := range 40 {
				good = append(good, stagetest.Record{Key: strconv.Itoa(i % 5), Value: fmt.Sprintf(`{"n":%d}`, i), Headers: []bus.Header{
					{Key: event.HeaderID, Value: []byte(event.ID(fmt.Sprint("custom:", i), event.KindEvent, 0))},
				}})
			}
			stagetest.Check(t, stagetest.Case{
				New: func(t testing.TB) client.Stage {
					spec, err := c.config.Spec("v", obs.Scope{})
					if err != nil {
						t.Fatal(err)
					}
					if h, is := spec.Stage.(*caller); is { // the same time for the same record
						h.now = fixed
					}
					return spec.Stage
				},
				Input: bus.TopicJSON, Outputs: c.config.outputs(), Good: good, Bad: c.bad,
			})
		})
	}
}

func fixed() time.Time { return time.Unix(1_700_000_000, 0) }
