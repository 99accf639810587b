package wire

import (
	"crypto/tls"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/memconn"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// endless is a sign-in that has always another question.
type endless struct{}

func (endless) Mechanisms() []string                      { return []string{"SCRAM-SHA-256"} }
func (endless) Begin(string) Exchange                     { return endless{} }
func (endless) Step([]byte) ([]byte, string, bool, error) { return nil, "", false, nil }

// TestClientThatStallsIsHungUpOn has clients stop wherever they can: the
// connection ends when its time is up, and at once when the server is closed.
// The bubble sees goroutines that are left.
func TestClientThatStallsIsHungUpOn(t *testing.T) {
	const large = 8 << 20
	batch := produceFrame(8, produceTopic("t", nil))
	binary.BigEndian.PutUint32(batch[len(batch)-4:], large)
	batch = append(binary.BigEndian.AppendUint32(nil, uint32(len(batch)+large)), batch...)
	hello := kmsg.NewPtrSASLHandshakeRequest()
	hello.Version, hello.Mechanism = 1, "SCRAM-SHA-256"
	fetches := slices.Concat(numbered(1, fetchOf("full")), numbered(2, fetchOf("full")), numbered(3, fetchOf("full")))
	limits := New(Config{}, nil, nil).cfg
	for what, of := range map[string]struct {
		cfg     Config
		sent    []byte
		clients int
		ends    time.Duration
	}{
		"before TLS":                    {Config{TLS: &tls.Config{}}, []byte{22, 3, 1}, 1, limits.SignInTimeout},
		"before sign-in":                {Config{SignIn: endless{}}, nil, 1, limits.SignInTimeout},
		"in the middle of sign-in":      {Config{SignIn: endless{}}, numbered(1, hello), 1, limits.SignInTimeout},
		"between requests":              {Config{}, nil, 1, limits.IdleTimeout},
		"behind a fetch that waits":     {Config{}, numbered(1, fetchOf("empty")), 1, limits.IdleTimeout},
		"in the middle of a request":    {Config{}, fetches[:20], 1, limits.StallTimeout},
		"in the middle of a batch":      {Config{}, append(batch, 1, 2, 3), 1, limits.StallTimeout},
		"many of them, with all memory": {Config{MaxInFlight: large}, append(batch, 1, 2, 3), 5, limits.StallTimeout},
		"before reading an answer":      {Config{}, fetches, 1, limits.StallTimeout},
	} {
		for _, closed := range []bool{true, false} {
			t.Run(what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := running(t, storage.Options{}, "empty", "full").server.store
					if _, err := store.Create(storage.TopicSpec{Name: "t", Partitions: 1, Config: map[string]string{"max.message.bytes": "16777216"}}); err != nil {
						t.Fatal(err)
					}
					if _, c, err := store.Topic("full").Partition(0).AppendRecords([]storage.KeyValue{{Value: make([]byte, 900<<10)}}); err != nil || c.Wait(t.Context()) != nil {
						t.Fatal(err)
					}
					of.cfg.Metrics = connections{changed: make(chan int, 2*of.clients)}
					s := New(of.cfg, store, nil)
					began, want := time.Now(), of.ends
					for range of.clients {
						client, server := memconn.Pipe("peer:1", 1<<20)
						defer client.Close()
						s.accept(t.Context(), server)
						if _, err := client.Write(of.sent); err != nil {
							t.Fatal(err)
						}
					}
					synctest.Wait()
					if closed {
						s.Close()
						want = 0
					} else {
						s.wg.Wait()
					}
					if took := time.Since(began); took != want {
						t.Errorf("closed %t: ended after %v, not %v", closed, took, want)
					}
				})
			})
		}
	}
}
