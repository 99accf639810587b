package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/obs"
)

const gibibyte = 1 << 30

// kept is an appender that keeps, or refuses.
type kept struct {
	mu      sync.Mutex
	records []*bus.Record
	away    bool
}

func (k *kept) Append(_ context.Context, records ...*bus.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return errors.New("away")
	}
	k.records = append(k.records, records...)
	return nil
}

// raised returns what was raised, as "severity title".
func (k *kept) raised(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, r := range k.records {
		var a struct {
			Event   struct{ ID, Kind string }
			Decoder struct {
				Alert struct {
					Group, Kind, Severity, Title string
					Revision                     int
				}
			}
		}
		if err := json.Unmarshal(r.Value, &a); err != nil {
			t.Fatal(err)
		}
		if a.Event.Kind != "alert" || a.Decoder.Alert.Kind != "pipeline" || a.Event.ID != bus.Value(r, event.HeaderID) || a.Decoder.Alert.Group != string(r.Key) {
			t.Errorf("alert %s", r.Value)
		}
		all = append(all, fmt.Sprintf("%s %d %s", a.Decoder.Alert.Severity, a.Decoder.Alert.Revision, a.Decoder.Alert.Title))
	}
	return all
}

func well(at time.Time) sample {
	return sample{at: at, diskTotal: 100 * gibibyte, diskFree: 50 * gibibyte, memoryTotal: 16 * gibibyte, memoryAvailable: 8 * gibibyte}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestADiskThatFillsIsReportedBeforeItIsFullAndOnceALevel(t *testing.T) {
	k := &kept{}
	m := New(Options{Dir: "/data", Host: "h", Reserve: gibibyte}, Deps{To: k})
	for i := range 2 * 60 { // half a gibibyte a minute
		s := well(start.Add(time.Duration(i) * time.Minute))
		s.diskFree -= int64(i) * gibibyte / 2
		s.diskFree = max(s.diskFree, 0)
		m.look(s)
		m.raise(t.Context())
	}
	want := []string{
		"high 0 The disk is full in 2 hours at the present rate",
		"critical 1 The disk is full within an hour at the present rate",
	}
	if diff := cmp.Diff(want, k.raised(t)); diff != "" {
		t.Error(diff)
	}
}

func TestAnEpisodeEndsAfterItsQuietAndTheNextIsAnother(t *testing.T) {
	k := &kept{}
	m := New(Options{Host: "h"}, Deps{To: k})
	for i := range 40 {
		s := well(start.Add(time.Duration(i) * time.Minute))
		if i == 5 || i == 7 || i == 20 { // the second falls into the first's episode
			s.memoryAvailable = gibibyte / 2
		}
		m.look(s)
	}
	m.raise(t.Context())
	if got := k.raised(t); len(got) != 2 || !strings.HasPrefix(got[1], "high 0 ") {
		t.Errorf("raised %v", got)
	}
	if a, b := bus.Value(k.records[0], event.HeaderID), bus.Value(k.records[1], event.HeaderID); a == b {
		t.Error("two episodes have one id")
	}
}

func TestBusyCPUsAreReportedAfterMinutesOnly(t *testing.T) {
	k := &kept{}
	m := New(Options{Host: "h"}, Deps{To: k})
	ticks := int64(0)
	for i := range 200 {
		s := well(start.Add(time.Duration(i) * 15 * time.Second))
		s.cpuTotal = int64(i) * 3000
		if i > 20 && i < 30 || i > 100 { // a burst of two minutes, then for good
			ticks += 3000
		}
		s.cpuBusy = ticks
		m.look(s)
		if i == 100 && len(m.waiting) != 0 {
			t.Error("a burst was reported")
		}
	}
	if len(m.waiting) != 1 {
		t.Errorf("%d alerts", len(m.waiting))
	}
}

func TestAClientThatStandsStillIsReportedWithItsReason(t *testing.T) {
	k := &kept{}
	status := client.Status{Client: "store", Kind: client.PhaseOutage, Since: start, Reason: "connection refused", Lag: 7}
	m := New(Options{Host: "h"}, Deps{To: k, Clients: func() []client.Status { return []client.Status{status} }})
	m.look(well(start.Add(time.Minute)))
	if len(m.waiting) != 0 {
		t.Error("reported without patience")
	}
	m.look(well(start.Add(6 * time.Minute)))
	m.raise(t.Context())
	if got := k.raised(t); len(got) != 1 || !strings.Contains(string(k.records[0].Value), "connection refused; 7 records behind") {
		t.Errorf("raised %v", got)
	}
}

func TestDeadLettersAreReportedBeforeTheBudgetTakesThem(t *testing.T) {
	taken := int64(40)
	m := New(Options{Host: "h"}, Deps{To: &kept{}, DeadLetters: func(context.Context) (int64, int64, error) { return taken, 100, nil }})
	for _, c := range []struct{ taken, alerts int64 }{{40, 0}, {60, 1}, {70, 1}, {90, 2}} {
		taken = c.taken
		m.lookAtDead(t.Context())
		if int64(len(m.waiting)) != c.alerts {
			t.Errorf("%d of 100 bytes: %d alerts", taken, len(m.waiting))
		}
	}
}

func TestALogThatTakesNothingInIsReportedWithItsReasonUnlessTheDiskIsWhy(t *testing.T) {
	k := &kept{}
	var refused error
	m := New(Options{Host: "h", Reserve: gibibyte}, Deps{To: k, Refused: func() error { return refused }})
	for i := range 60 { // every 15 s
		refused = nil
		if i == 3 || i > 20 { // a moment, then for good
			refused = errors.New("most by decoder-store")
		}
		m.look(well(start.Add(time.Duration(i) * 15 * time.Second)))
	}
	m.raise(t.Context())
	if got := k.raised(t); len(got) != 1 || got[0] != "high 0 The log takes nothing new in" ||
		!strings.Contains(string(k.records[0].Value), "most by decoder-store") {
		t.Errorf("raised %v", got)
	}

	k = &kept{}
	m = New(Options{Dir: "/data", Host: "h", Reserve: gibibyte}, Deps{To: k, Refused: func() error { return errors.New("full") }})
	for i := range 20 {
		s := well(start.Add(time.Duration(i) * 15 * time.Second))
		s.diskFree = gibibyte / 2
		m.look(s)
	}
	m.raise(t.Context())
	if got := k.raised(t); len(got) != 1 || got[0] != "critical 0 The disk is full: nothing more is taken in" ||
		!strings.Contains(string(k.records[0].Value), "when 1.1 GiB are free (disk.free)") {
		t.Errorf("raised %v: %s", got, k.records[0].Value)
	}
}

func TestAlertsWaitForTheLog(t *testing.T) {
	k := &kept{away: true}
	var log strings.Builder
	m := New(Options{Host: "h"}, Deps{To: k, Scope: obs.Scope{Log: slog.New(slog.NewTextHandler(&log, nil))}})
	s := well(start)
	s.memoryAvailable = 0
	m.look(s)
	for range 3 {
		m.raise(t.Context())
	}
	if n := strings.Count(log.String(), "wait for the log"); n != 1 {
		t.Errorf("that they wait was said %d times:\n%s", n, &log)
	}
	k.away = false
	m.raise(t.Context())
	m.raise(t.Context())
	if len(k.records) != 1 {
		t.Errorf("%d alerts", len(k.records))
	}
}

func TestThisMachineCanBeSampled(t *testing.T) {
	s, err := readSample(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s.diskTotal <= 0 || s.memoryTotal <= 0 || s.memoryAvailable <= 0 || s.cpuTotal <= 0 || s.cpuBusy > s.cpuTotal {
		t.Errorf("sample %+v", s)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := New(Options{Dir: t.TempDir(), Host: "h", Every: time.Millisecond}, Deps{To: &kept{}, Scope: obs.Scope{Metrics: prometheus.NewRegistry()}})
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAForecastNeedsGrowthAndTime(t *testing.T) {
	var f forecast
	for i := range 5 {
		f.add(start.Add(time.Duration(i)*time.Minute), int64(i)*gibibyte)
	}
	if got := f.full(gibibyte); got != never {
		t.Errorf("after 5 minutes: %s", got)
	}
	for i := range 120 {
		f.add(start.Add(time.Duration(i)*time.Minute), int64(i%10)*gibibyte)
	}
	if got := f.full(100 * gibibyte); got < 48*time.Hour {
		t.Errorf("a disk that is cleaned again and again: %s", got)
	}
	if f.full(0) != 0 {
		t.Error("a full disk is full now")
	}
}
