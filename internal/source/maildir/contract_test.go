package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/sourcetest"
)

func TestContract(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	fed := 0
	sourcetest.Check(t, sourcetest.Case{
		New: func(t testing.TB, to bus.Appender) sourcetest.Runner {
			s, err := New(Config{Paths: []string{dir}, StateDir: state, Poll: 20 * time.Millisecond}, to, obs.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Feed: func(t testing.TB, n int) {
			for range n {
				name := fmt.Sprintf("%d.host", fed)
				if err := os.WriteFile(filepath.Join(dir, "tmp", name), text(fed), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(dir, "tmp", name), filepath.Join(dir, "new", name)); err != nil {
					t.Fatal(err)
				}
				fed++
			}
		},
	})
}
