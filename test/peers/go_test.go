package peers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	kafkascram "github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kgo"
	kgoscram "github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/xdg-go/scram"
)

func TestFranzGo(t *testing.T) {
	p := start(t, "t", false)
	login := kgo.SASL(kgoscram.Auth{User: p.user, Pass: p.password}.AsSha256Mechanism())
	total := 0
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		cl, err := kgo.NewClient(kgo.SeedBrokers(p.addr), login, kgo.ProducerBatchCompression(codec))
		if err != nil {
			t.Fatal(err)
		}
		for i := range records {
			cl.Produce(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Appendf(nil, "%s-%d", name, i),
				Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(name)}}}, nil)
		}
		if err := cl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		cl.Close()
		total += records
		p.check(t, "t", name, records, true)
	}
	g, err := kgo.NewClient(kgo.SeedBrokers(p.addr), login, kgo.ConsumeTopics("t"), kgo.ConsumerGroup("g"), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for n := 0; n < total; {
		n += g.PollFetches(t.Context()).NumRecords()
	}
	if err := g.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.committed(t, "g", "t", int64(total))
}

// xdg is the SCRAM client sarama asks for.
type xdg struct {
	hash scram.HashGeneratorFcn
	*scram.ClientConversation
}

func (x *xdg) Begin(user, password, authz string) error {
	c, err := x.hash.NewClient(user, password, authz)
	if err != nil {
		return err
	}
	x.ClientConversation = c.NewConversation()
	return nil
}

func TestSarama(t *testing.T) {
	p := start(t, "t", false)
	cfg := sarama.NewConfig()
	cfg.Version = sarama.V3_6_0_0
	cfg.Net.SASL.Enable, cfg.Net.SASL.User, cfg.Net.SASL.Password = true, p.user, p.password
	cfg.Net.SASL.Mechanism = sarama.SASLTypeSCRAMSHA512
	cfg.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &xdg{hash: scram.SHA512} }
	cfg.Producer.Return.Successes = true
	cfg.Producer.Idempotent, cfg.Net.MaxOpenRequests, cfg.Producer.RequiredAcks = true, 1, sarama.WaitForAll
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.Consumer.Offsets.AutoCommit.Enable = false
	total := 0
	for name, codec := range map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	} {
		cfg.Producer.Compression = codec
		pr, err := sarama.NewSyncProducer([]string{p.addr}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		var ms []*sarama.ProducerMessage
		for i := range records {
			ms = append(ms, &sarama.ProducerMessage{Topic: "t", Value: sarama.StringEncoder(fmt.Sprintf("%s-%d", name, i)),
				Headers: []sarama.RecordHeader{{Key: []byte("h"), Value: []byte(name)}}})
		}
		if err := pr.SendMessages(ms); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := pr.Close(); err != nil {
			t.Error(err)
		}
		total += records
		p.check(t, "t", name, records, true)
	}
	g, err := sarama.NewConsumerGroup([]string{p.addr}, "sarama", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := g.Consume(ctx, []string{"t"}, &counter{left: total, done: cancel, lock: make(chan struct{}, 1)}); err != nil {
		t.Fatal(err)
	}
	p.committed(t, "sarama", "t", int64(total))
}

// counter is a sarama group handler that ends when it has read so many
// records; claims take turns.
type counter struct {
	left int
	done context.CancelFunc
	lock chan struct{}
}

func (*counter) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*counter) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *counter) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m := <-claim.Messages():
			if m == nil {
				return nil
			}
			c.lock <- struct{}{}
			s.MarkMessage(m, "")
			c.left--
			last := c.left == 0
			<-c.lock
			if last {
				s.Commit()
				c.done()
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

func TestSegmentio(t *testing.T) {
	p := start(t, "t", false)
	m, err := kafkascram.Mechanism(kafkascram.SHA512, p.user, p.password)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for name, codec := range map[string]kafka.Compression{
		"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
	} {
		w := &kafka.Writer{Addr: kafka.TCP(p.addr), Topic: "t", RequiredAcks: kafka.RequireAll, Compression: codec,
			BatchTimeout: 10 * time.Millisecond, Transport: &kafka.Transport{SASL: m}}
		var ms []kafka.Message
		for i := range records {
			ms = append(ms, kafka.Message{Value: fmt.Appendf(nil, "%s-%d", name, i), Headers: []kafka.Header{{Key: "h", Value: []byte(name)}}})
		}
		if err := w.WriteMessages(t.Context(), ms...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		total += records
		p.check(t, "t", name, records, true)
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{p.addr}, GroupID: "segmentio", Topic: "t",
		StartOffset: kafka.FirstOffset, Dialer: &kafka.Dialer{SASLMechanism: m, Timeout: 10 * time.Second}, MaxWait: time.Second})
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var last []kafka.Message
	for range total {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		last = append(last, m)
	}
	if err := r.CommitMessages(ctx, last...); err != nil {
		t.Fatal(err)
	}
	p.committed(t, "segmentio", "t", int64(total))
}
