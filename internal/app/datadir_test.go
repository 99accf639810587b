package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDataFolderIsLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := openDataDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = openDataDir(ctx, dir)
	inUse, ok := errors.AsType[*InUseError](err)
	if !ok || inUse.PID != os.Getpid() {
		t.Fatalf("got %v, want InUseError of process %d", err, os.Getpid())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := openDataDir(t.Context(), dir)
	if err != nil {
		t.Fatalf("the folder is free again: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFolderOfAnInstanceThatIsEndingIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	first, err := openDataDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		second, err := openDataDir(t.Context(), dir)
		if err == nil {
			err = second.Close()
		}
		opened <- err
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

func TestFormatOfTheDataFolder(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"ours", "decoder data folder, format 1\n", ""},
		{"newer", "decoder data folder, format 2\n", "newer version"},
		{"empty", "", "does not name a format"},
		{"foreign", "hello", "does not name a format"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "format"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := openDataDir(t.Context(), dir)
			if err == nil {
				err = d.Close()
				if c.want == "" && err == nil {
					return
				}
			}
			if c.want == "" || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestBudgetIsThatOfTheFirstStart(t *testing.T) {
	name := filepath.Join(t.TempDir(), "budget")
	first, err := firstBudget(name)
	if err != nil || first <= 0 {
		t.Fatal(first, err)
	}
	if err := os.WriteFile(name, []byte("disk budget 12345 bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if later, err := firstBudget(name); err != nil || later != 12345 {
		t.Errorf("got %d, %v; want the noted 12345", later, err)
	}
}
