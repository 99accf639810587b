package selftest

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/proc"
	"github.com/decodersring/decoder/internal/suricata"
)

// writeCapture writes the exchange as a pcap file.
func writeCapture(t *testing.T, path string, e Exchange) {
	t.Helper()
	var b []byte
	for _, w := range []uint32{0xa1b2c3d4, 4<<16 | 2, 0, 0, 65535, 1} {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	for i, f := range frames(e, [6]byte{2, 0, 0, 0, 0, 1}) {
		for _, w := range []uint32{1700000000, uint32(i), uint32(len(f)), uint32(len(f))} {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		b = append(b, f...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheExchangeAlertsAndItsChecksumsAreRight(t *testing.T) {
	binary, err := suricata.Find(t.Context())
	if err != nil {
		t.Skipf("SKIPPED: needs Suricata 7 (apt-get install suricata): %v", err)
	}
	e, err := newExchange("eth0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	capture := filepath.Join(dir, "exchange.pcap")
	writeCapture(t, capture, e)
	text, err := suricata.Generate(suricata.Config{Dir: dir, Socket: filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "suricata.yaml")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = proc.Run(t.Context(), proc.Command{Path: binary.Path, Args: []string{
		"-c", conf, "-S", filepath.Join("..", "rules", "selftest.rules"), "-l", dir, "-k", "all", "-r", capture,
	}})
	if err != nil {
		t.Fatal(err)
	}
	eve, err := os.ReadFile(filepath.Join(dir, "eve.json"))
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for line := range strings.SplitSeq(string(eve), "\n") {
		if strings.Contains(line, `"event_type":"alert"`) && strings.Contains(line, `"signature_id":1900000`) {
			alerts++
		}
	}
	if alerts != 1 || !strings.Contains(string(eve), `"event_type":"http"`) || !strings.Contains(string(eve), `"invalid_checksum":0`) {
		t.Errorf("%d alerts, want 1:\n%.3000s", alerts, eve)
	}
}

func TestRunFindsTheAlertOrSaysThatThereIsNone(t *testing.T) {
	if err := suricata.CheckCapture("lo"); err != nil {
		t.Skipf("SKIPPED: needs CAP_NET_RAW and lo up: %v", err)
	}
	asked := 0
	r, err := Run(t.Context(), "lo", func(_ context.Context, e Exchange) (bool, error) {
		asked++
		return asked == 3 && e.ClientPort >= 49152, nil
	})
	if err != nil || !r.Alerted || r.Took <= 0 {
		t.Errorf("Run: %+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Run(ctx, "lo", func(context.Context, Exchange) (bool, error) { cancel(); return false, nil })
	if !errors.Is(err, ErrNoAlert) {
		t.Errorf("Run without an alert: %v", err)
	}
	if _, err := Run(t.Context(), "none0", nil); err == nil {
		t.Error("an interface that is not there was used")
	}
}
