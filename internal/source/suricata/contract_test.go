package suricata

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/sourcetest"
)

// noOrigins is a log that does not say what it has.
type noOrigins struct{}

func (noOrigins) LastOrigin(context.Context, string, string, string) (string, error) { return "", nil }

// TestContract follows a file of somebody else's Suricata, which is read as
// that of our own is.
func TestContract(t *testing.T) {
	dir := t.TempDir()
	eve := filepath.Join(dir, "eve.json")
	f, err := os.Create(eve)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fed := 0
	sourcetest.Check(t, sourcetest.Case{
		New: func(t testing.TB, to bus.Appender) sourcetest.Runner {
			s, err := NewFollower(eve, Options{Dir: filepath.Join(dir, "state"), Topic: bus.TopicSuricata, Sensor: "s"},
				Deps{Log: to, Origins: noOrigins{}, Scope: obs.Scope{}})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Feed: func(t testing.TB, n int) {
			for range n {
				fed++
				if _, err := fmt.Fprintf(f, `{"timestamp":"2026-01-01T00:00:00.000000+0000","event_type":"dns","flow_id":%d}`+"\n", fed); err != nil {
					t.Fatal(err)
				}
			}
		},
	})
}
