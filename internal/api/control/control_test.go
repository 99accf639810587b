package control_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/obs"
)

// serve runs a server on the folder's socket until the test ends.
func serve(t *testing.T, dir string, d api.Deps) *control.Client {
	t.Helper()
	s, err := api.New(api.Options{SocketDir: dir}, d, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	c, err := control.Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestSocketIsPrivateAndAnswers(t *testing.T) {
	dir := t.TempDir()
	c := serve(t, dir, api.Deps{Version: api.Version{Version: "1.2"}})
	v, err := c.Version(t.Context())
	if err != nil || v.Version != "1.2" {
		t.Fatalf("%+v, %v", v, err)
	}
	i, err := os.Stat(filepath.Join(dir, api.SocketName))
	if err != nil || i.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", i.Mode(), err)
	}
}

func TestDeepFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := serve(t, dir, api.Deps{})
	if _, err := c.Version(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFolderWithoutInstance(t *testing.T) {
	dir := t.TempDir()
	if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrNoInstance) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := control.Dial(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, control.ErrNoInstance) {
		t.Errorf("no folder: %v", err)
	}
}

func TestSocketLeftByAKillIsReplaced(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		t.Run("", func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, api.SocketName), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := serve(t, dir, api.Deps{}).Version(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, api.SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestMissingPartSaysSo(t *testing.T) {
	c := serve(t, t.TempDir(), api.Deps{})
	if _, err := c.Topics(t.Context()); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("topics: %v", err)
	}
	if _, err := c.UpdateRules(t.Context(), nil); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("rules: %v", err)
	}
	if _, err := c.Alert(t.Context(), "a/b ?#%"); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("alert: %v", err)
	}
}

type replays = api.Replays

// endless is a replay that is never done.
type endless struct{ replays }

func (endless) Watch(ctx context.Context, _ string, _ bool, emit func(api.ReplayUpdate) error) error {
	if err := emit(api.ReplayUpdate{}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// A stream that the instance's end cuts short must not look whole.
func TestStreamsSayThatTheInstanceIsStopping(t *testing.T) {
	dir := t.TempDir()
	s, err := api.New(api.Options{SocketDir: dir}, api.Deps{Replays: endless{}}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-s.Ready()
	c, err := control.Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.WatchReplay(t.Context(), "x", true, func(api.ReplayUpdate) error {
		stop()
		return nil
	})
	if !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("the stream ends with %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
