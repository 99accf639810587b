package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/decodersring/decoder/internal/proc"
)

func TestFramesAreToldApart(t *testing.T) {
	own := map[[6]byte]bool{{2, 0, 0, 0, 0, 1}: true}
	me, a, b, all := []byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 8}, []byte{2, 0, 0, 0, 0, 9}, []byte{255, 255, 255, 255, 255, 255}
	var s Sight
	pairs := map[[12]byte]struct{}{}
	for _, f := range [][2][]byte{{me, a}, {a, me}, {all, me}, {all, a}, {a, b}, {b, a}, {a, b}} {
		s.count([12]byte(append(append([]byte{}, f[0]...), f[1]...)), own, pairs)
	}
	if want := (Sight{Own: 3, Shared: 1, Others: 3}); s != want || len(pairs) != 2 {
		t.Errorf("got %+v and %d pairs, want %+v", s, len(pairs), want)
	}
}

func TestAFewStrayFramesAreNotSight(t *testing.T) {
	for _, tt := range []struct {
		s    Sight
		want bool
	}{
		{Sight{Own: 100, Others: 3}, false},
		{Sight{Own: 100000, Others: 30}, false},
		{Sight{Own: 100, Others: 40}, true},
		{Sight{Others: 500}, true},
	} {
		if got := tt.s.SeesOthers(); got != tt.want {
			t.Errorf("%+v sees others: %v", tt.s, got)
		}
	}
}

// TestOnTheWire sends frames between strangers over a virtual cable.
func TestOnTheWire(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root, to make a virtual cable")
	}
	a, b := fmt.Sprintf("dr%da", os.Getpid()%100000), fmt.Sprintf("dr%db", os.Getpid()%100000)
	run := func(args ...string) error {
		_, err := proc.Run(t.Context(), proc.Command{Path: "ip", Args: args})
		return err
	}
	if err := run("link", "add", a, "type", "veth", "peer", "name", b); err != nil {
		t.Skipf("SKIPPED: needs the right to make a virtual cable: %v", err)
	}
	t.Cleanup(func() {
		_, _ = proc.Run(context.Background(), proc.Command{Path: "ip", Args: []string{"link", "del", a}})
	})
	for _, n := range []string{a, b} {
		if err := run("link", "set", n, "up"); err != nil {
			t.Fatal(err)
		}
	}
	i, err := net.InterfaceByName(b)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	stop := make(chan struct{})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		frame := append([]byte{2, 9, 9, 9, 9, 1, 2, 9, 9, 9, 9, 2, 8, 0}, make([]byte, 46)...)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_ = unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index})
			}
		}
	}()
	s, err := Observe(t.Context(), a, time.Second)
	close(stop)
	<-sent
	if err != nil || !s.SeesOthers() || s.Pairs != 1 {
		t.Errorf("got %+v, %v", s, err)
	}
	if f := sight(t.Context(), a, 300*time.Millisecond); f.Level != Warn || f.Mend == "" {
		t.Errorf("a cable without strangers: %+v", f)
	}
}

func TestEveryFindingThatIsNotWellSaysHowToMendIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all := Run(t.Context(), Options{
		Data: filepath.Join(t.TempDir(), "not", "there"), Interface: "lo", Observe: 50 * time.Millisecond,
		Listen: []string{l.Addr().String()},
	})
	taken := false
	for _, f := range all {
		if f.Message == "" || f.Check == "" {
			t.Errorf("empty: %+v", f)
		}
		if f.Level == Fail && f.Mend == "" {
			t.Errorf("nothing says how to mend: %+v", f)
		}
		if strings.HasPrefix(f.Check, "port ") && f.Level == Fail {
			taken = true
		}
	}
	if !taken || Worst(all) != Fail {
		t.Errorf("a port in use was not found: %+v", all)
	}
	missing := Run(t.Context(), Options{Data: t.TempDir(), Interface: "none0"})
	if Worst(missing) != Fail {
		t.Errorf("a missing interface was not found: %+v", missing)
	}
}
