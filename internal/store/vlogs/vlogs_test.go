package vlogs

import (
	"context"
	"testing"

	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store/storetest"
)

// openStore runs a store in a folder until the test ends or stop is called.
func openStore(t testing.TB, cfg Config) (s *Store, stop func()) {
	t.Helper()
	s, err := New(cfg, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("running the store: %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-s.Ready():
	case err := <-ended:
		stopped = true
		t.Fatalf("opening the store: %v", err)
	}
	return s, stop
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) (storetest.Store, func()) {
		s, stop := openStore(t, Config{Dir: dir, MinFreeBytes: -1})
		return s, stop
	})
}
