package peers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	segmentio "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/test/kafka"
)

const overHole = `
import sys
from kafka import KafkaConsumer, TopicPartition
c = KafkaConsumer(bootstrap_servers=sys.argv[1], auto_offset_reset='earliest', consumer_timeout_ms=20000)
c.assign([TopicPartition('t', 0)])
for _ in range(4): print(next(c).value.decode())
`

// holed is a broker with five records, a batch each, of which the third was
// corrupt and the log repaired.
func holed(t *testing.T) *peer {
	t.Helper()
	dir := t.TempDir()
	p, stop := serve(t, dir, true)
	if r, err := kadm.NewClient(p.admin).CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	for i := range 5 {
		if err := p.admin.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Appendf(nil, "value-%d", i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	p.admin.Close()
	stop()
	path := filepath.Join(dir, "topics/t/0/00000000000000000000.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x40
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	lost, err := broker.Repair(t.Context(), dir)
	if err != nil || len(lost) != 1 || lost[0].From != 2 || lost[0].To != 3 {
		t.Fatalf("%+v, %v", lost, err)
	}
	p, _ = serve(t, dir, true)
	return p
}

func TestReadersGoOverARepairedHole(t *testing.T) {
	p := holed(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, read := range map[string]func(*testing.T) []string{
		"franz-go": func(t *testing.T) (out []string) {
			cl := p.embedded(t, kgo.ConsumeTopics("t"))
			for len(out) < 4 && ctx.Err() == nil {
				cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { out = append(out, string(r.Value)) })
			}
			return out
		},
		"sarama": func(t *testing.T) (out []string) {
			c, err := sarama.NewConsumer([]string{p.addr}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			pc, err := c.ConsumePartition("t", 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			for len(out) < 4 {
				select {
				case m := <-pc.Messages():
					out = append(out, string(m.Value))
				case <-ctx.Done():
					return out
				}
			}
			return out
		},
		"segmentio": func(t *testing.T) (out []string) {
			r := segmentio.NewReader(segmentio.ReaderConfig{Brokers: []string{p.addr}, Topic: "t", MaxWait: time.Second})
			defer r.Close()
			for len(out) < 4 {
				m, err := r.ReadMessage(ctx)
				if err != nil {
					t.Fatalf("after %v: %v", out, err)
				}
				out = append(out, string(m.Value))
			}
			return out
		},
		"kcat": func(t *testing.T) []string {
			need(t, "kcat", "kcat")
			return strings.Fields(run(t, "", "kcat", "-b", p.addr, "-C", "-t", "t", "-o", "beginning", "-e", "-q"))
		},
		"kafka-python": func(t *testing.T) []string {
			return strings.Fields(run(t, "", python(t, "kafka-python"), "-c", overHole, p.addr))
		},
		"java": func(t *testing.T) []string {
			kafka.Jars(t)
			return strings.Fields(kafka.Tool(t, "", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", p.addr, "--topic", "t",
				"--from-beginning", "--max-messages", "4", "--timeout-ms", "30000"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(read(t)); got != "[value-0 value-1 value-3 value-4]" {
				t.Errorf("it read %s", got)
			}
		})
	}
}
