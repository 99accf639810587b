package maildir

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/message/messagetest"
)

func text(n int) []byte {
	return fmt.Appendf(nil, "From: a@example.com\nSubject: %d\n\nbody %d\n", n, n)
}

func start(t *testing.T, c Config, log bus.Appender) (stop func()) {
	s, err := New(c, log, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestMaildirIsReadOnceOverRestartsMovesAndOutages(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	deliver := func(n int) {
		tmp := filepath.Join(dir, "tmp", strconv.Itoa(n))
		if err := os.WriteFile(tmp, text(n), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, "new", fmt.Sprintf("%d.host", n))); err != nil {
			t.Fatal(err)
		}
	}
	log := messagetest.New()
	c := Config{Paths: []string{dir}, StateDir: state, Poll: 50 * time.Millisecond}
	for n := range 300 {
		deliver(n)
	}
	stop := start(t, c, log)
	log.Await(t, 300)
	log.Down(true)
	deliver(300)
	<-log.Tried()
	log.Down(false)
	log.Await(t, 301)
	stop()
	for n := range 300 { // read by its owner
		if err := os.Rename(filepath.Join(dir, "new", fmt.Sprintf("%d.host", n)), filepath.Join(dir, "cur", fmt.Sprintf("%d.host:2,S", n))); err != nil {
			t.Fatal(err)
		}
	}
	stop = start(t, c, log)
	deliver(301)
	log.Await(t, 302)
	stop()
	log.Once(t)
}

func TestMboxIsReadOnFromWhereItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	add := func(from, to int) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for n := from; n < to; n++ {
			fmt.Fprintf(f, "From a@example.com Tue Mar  3 09:15:02 2026\n%s\n", text(n))
		}
	}
	log := messagetest.New()
	c := Config{Paths: []string{path}, StateDir: t.TempDir(), Poll: 20 * time.Millisecond, Quiet: 20 * time.Millisecond}
	add(0, 10)
	stop := start(t, c, log)
	log.Await(t, 10)
	stop()
	add(10, 20)
	stop = start(t, c, log)
	log.Await(t, 20)
	stop()
	log.Once(t)
	os.Remove(path)
	add(100, 105)
	stop = start(t, c, log)
	log.Await(t, 25)
	stop()
}

func TestMboxMessagesAreCutAtTheirLines(t *testing.T) {
	in := "From a\r\nSubject: 1\r\n\r\n>From here\r\n>>From there\r\n\r\nFrom the text, not a message?\r\n" // the line follows an empty one: a message
	long := "From b\nSubject: 2\n\n" + strings.Repeat("x", 200_000) + "From inside\nend\n\n"
	var got []string
	err := ReadMbox(strings.NewReader(in+"\r\n"+long+"From c\n\nthree"), 1<<20, func(raw []byte, _ int64) error {
		got = append(got, string(raw))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Subject: 1\r\n\r\nFrom here\r\n>From there\r\n", "",
		"Subject: 2\n\n" + strings.Repeat("x", 200_000) + "From inside\nend\n", "\nthree",
	}
	if len(got) != len(want) {
		t.Fatalf("%d messages: %.200q", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("message %d: %.200q, want %.200q", i, got[i], want[i])
		}
	}
	n := 0
	err = ReadMbox(bytes.NewReader([]byte(long+"From c\n\nthree")), 1000, func(raw []byte, _ int64) error {
		if n++; n == 1 && raw != nil {
			t.Error("a message over the limit was not passed over")
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Errorf("%d messages, %v", n, err)
	}
}

func TestImportTakesAnyMixOfFilesAndStopsWithTheLog(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one.eml", text(1))
	write("box/new/2", text(2))
	write("box/cur/3:2,S", text(3))
	write("box/tmp/4", text(4))
	write("many.mbox", []byte("From x\n"+string(text(5))+"\nFrom x\n"+string(text(6))))
	write("picture.png", []byte("\x89PNG\r\n"))
	log := messagetest.New()
	var last Progress
	p, err := Import(t.Context(), log, []string{dir}, func(p Progress) { last = p })
	if err != nil || p.Messages != 5 || p.Skipped != 1 || last.Messages != 5 || log.Len() != 5 {
		t.Errorf("%+v, %v, %d in the log", p, err, log.Len())
	}
	log.Down(true)
	if _, err := Import(t.Context(), log, []string{dir}, nil); err == nil {
		t.Error("an import that the log did not acknowledge succeeded")
	}
}
