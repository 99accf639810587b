package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/test/kafka"
)

// lines are the values a client is to produce.
func lines(name string) string {
	var b strings.Builder
	for i := range records {
		fmt.Fprintf(&b, "%s-%d\n", name, i)
	}
	return b.String()
}

func TestKcat(t *testing.T) {
	need(t, "kcat", "kcat")
	p := start(t, "t", false)
	total := 0
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		run(t, lines(codec), "kcat", "-F", p.properties, "-P", "-t", "t", "-z", codec, "-H", "h="+codec, "-X", "enable.idempotence=true")
		total += records
		p.check(t, "t", codec, records, true)
	}
	if out := run(t, "", "kcat", "-F", p.properties, "-L"); !strings.Contains(out, `topic "t" with 3 partitions`) {
		t.Errorf("kcat -L: %s", out)
	}
	// A group that reads everything there is, and commits it on its way out.
	out := run(t, "", "kcat", "-F", p.properties, "-X", "auto.offset.reset=earliest", "-c", fmt.Sprint(total), "-G", "kcat", "t")
	if n := strings.Count(out, "\n"); n != total {
		t.Errorf("kcat read %d of %d", n, total)
	}
	p.committed(t, "kcat", "t", int64(total))
}

const confluent = `
import sys
from confluent_kafka import Producer, Consumer
from confluent_kafka.admin import AdminClient, NewTopic
addr, user, password, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
conf = {'bootstrap.servers': addr, 'security.protocol': 'SASL_PLAINTEXT', 'sasl.mechanism': 'SCRAM-SHA-256',
        'sasl.username': user, 'sasl.password': password}
errors = []
for codec in ['none', 'gzip', 'snappy', 'lz4', 'zstd']:
    p = Producer(dict(conf, **{'enable.idempotence': True, 'compression.type': codec}))
    for i in range(n):
        p.produce('t', value='%s-%d' % (codec, i), headers={'h': codec}, on_delivery=lambda e, m: errors.append(e) if e else None)
    p.flush(30)
assert not errors, errors
admin = AdminClient(conf)
admin.create_topics([NewTopic('made', 2, 1)])['made'].result(20)
c = Consumer(dict(conf, **{'group.id': 'confluent', 'auto.offset.reset': 'earliest', 'enable.auto.commit': False,
    'partition.assignment.strategy': 'cooperative-sticky'}))
c.subscribe(['t'])
seen = 0
while seen < 5 * n:
    m = c.poll(30)
    assert m is not None and not m.error(), m and m.error()
    seen += 1
c.commit(asynchronous=False)
c.close()
`

const kafkaPython = `
import sys
from kafka import KafkaProducer, KafkaConsumer
addr, user, password, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
conf = dict(bootstrap_servers=addr, security_protocol='SASL_PLAINTEXT', sasl_mechanism='SCRAM-SHA-512',
            sasl_plain_username=user, sasl_plain_password=password)
for name, codec in [('none', None), ('gzip', 'gzip')]:
    p = KafkaProducer(acks='all', compression_type=codec, **conf)
    fs = [p.send('t', ('%s-%d' % (name, i)).encode(), headers=[('h', name.encode())]) for i in range(n)]
    for f in fs: f.get(30)
    p.close()
c = KafkaConsumer('t', group_id='python', auto_offset_reset='earliest', enable_auto_commit=False, consumer_timeout_ms=30000, **conf)
seen = 0
for m in c:
    seen += 1
    if seen == 2 * n: break
assert seen == 2 * n, seen
c.commit()
c.close()
`

// python returns an interpreter that has the package, in an environment that
// is made once.
func python(t *testing.T, pkg string) string {
	t.Helper()
	need(t, "python3", "python3 with venv")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "decoder-test", "python-"+pkg)
	interpreter := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return interpreter
	}
	for _, args := range [][]string{{"python3", "-m", "venv", dir}, {interpreter, "-m", "pip", "install", "-q", pkg}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: %s cannot be had from PyPI: %v\n%s", pkg, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return interpreter
}

func TestConfluentKafka(t *testing.T) {
	interpreter := python(t, "confluent-kafka")
	p := start(t, "t", false)
	run(t, "", interpreter, "-c", confluent, p.addr, p.user, p.password, fmt.Sprint(records))
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		p.check(t, "t", codec, records, true)
	}
	p.committed(t, "confluent", "t", 5*records)
}

func TestKafkaPython(t *testing.T) {
	interpreter := python(t, "kafka-python")
	p := start(t, "t", false)
	run(t, "", interpreter, "-c", kafkaPython, p.addr, p.user, p.password, fmt.Sprint(records))
	p.check(t, "t", "none", records, true)
	p.check(t, "t", "gzip", records, true)
	p.committed(t, "python", "t", 2*records)
}

// javaProperties are those of the Java client.
func (p *peer) javaProperties(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "java.properties")
	text := fmt.Sprintf(`security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";
`, p.user, p.password)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestJavaClient(t *testing.T) {
	kafka.Jars(t)
	p := start(t, "t", false)
	conf := p.javaProperties(t)
	total := 0
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		in := strings.ReplaceAll(lines(codec), codec+"-", "h:"+codec+"\t"+codec+"-")
		kafka.Tool(t, in, "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", p.addr, "--topic", "t",
			"--producer.config", conf, "--compression-codec", codec, "--property", "parse.headers=true")
		total += records
		p.check(t, "t", codec, records, true)
	}
	out := kafka.Tool(t, "", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", p.addr, "--topic", "t",
		"--consumer.config", conf, "--group", "java", "--from-beginning", "--max-messages", fmt.Sprint(total), "--timeout-ms", "30000")
	if n := strings.Count(out, "\n"); n != total {
		t.Errorf("the consumer read %d of %d", n, total)
	}
	p.committed(t, "java", "t", int64(total))
}

func TestKafkasTools(t *testing.T) {
	kafka.Jars(t)
	p := start(t, "t", false)
	conf := p.javaProperties(t)
	tool := func(class string, args ...string) string {
		return kafka.Tool(t, "", class, append([]string{"--bootstrap-server", p.addr, "--command-config", conf}, args...)...)
	}
	const topics, configs = "org.apache.kafka.tools.TopicCommand", "kafka.admin.ConfigCommand"
	contains := func(out string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%q is not in %s", w, out)
			}
		}
	}
	tool(topics, "--create", "--topic", "tooled", "--partitions", "2", "--replication-factor", "1", "--config", "retention.ms=3600000")
	tool(topics, "--alter", "--topic", "tooled", "--partitions", "4")
	contains(tool(topics, "--describe", "--topic", "tooled"), "PartitionCount: 4", "retention.ms=3600000")
	contains(tool(topics, "--list"), "tooled", "t")
	tool(configs, "--alter", "--entity-type", "topics", "--entity-name", "tooled", "--add-config", "max.message.bytes=2000000", "--delete-config", "retention.ms")
	contains(tool(configs, "--describe", "--entity-type", "topics", "--entity-name", "tooled"), "max.message.bytes=2000000")
	if err := p.embedded(t).ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	contains(tool("org.apache.kafka.tools.GetOffsetShell", "--topic", "t"), "t:0:", "t:2:")
	const reset = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	tool(reset, "--group", "tools", "--topic", "t", "--reset-offsets", "--to-latest", "--execute")
	contains(tool(reset, "--list"), "tools")
	contains(tool(reset, "--describe", "--group", "tools"), "tools", "t ")
	tool(reset, "--delete", "--group", "tools")
	contains(tool("org.apache.kafka.tools.LogDirsCommand", "--describe", "--topic-list", "t"), `"size":`)
	file := filepath.Join(t.TempDir(), "delete.json")
	if err := os.WriteFile(file, []byte(`{"partitions":[{"topic":"t","partition":0,"offset":-1}],"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(tool("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", file), "low_watermark")
	kafka.Tool(t, "", "org.apache.kafka.tools.BrokerApiVersionsCommand", "--bootstrap-server", p.addr, "--command-config", conf)
	tool(topics, "--delete", "--topic", "tooled")
	if strings.Contains(tool(topics, "--list"), "tooled") {
		t.Error("the topic is still there")
	}
	kafka.Tool(t, "", "org.apache.kafka.tools.ProducerPerformance", "--topic", "t", "--num-records", "20000", "--record-size", "500",
		"--throughput", "-1", "--producer-props", "bootstrap.servers="+p.addr, "acks=all", "--producer.config", conf)
}

func TestRsyslog(t *testing.T) {
	need(t, "rsyslogd", "rsyslog and rsyslog-kafka")
	if found, err := filepath.Glob("/usr/lib/*/rsyslog/omkafka.so"); err != nil || len(found) == 0 {
		t.Skip("SKIPPED: omkafka is not there; install rsyslog-kafka")
	}
	p := start(t, "t", false)
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := l.Addr().String()
	_ = l.Close()
	_, inPort, _ := net.SplitHostPort(in)
	conf := fmt.Sprintf(`global(workDirectory="%s")
module(load="imtcp")
module(load="omkafka")
input(type="imtcp" address="127.0.0.1" port="%s")
template(name="raw" type="string" string="%%msg:2:$%%")
action(type="omkafka" broker="%s:%s" topic="t" template="raw" confParam=["compression.codec=lz4",
  "security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-256", "sasl.username=%s", "sasl.password=%s"])
`, dir, inPort, host, port, p.user, p.password)
	file := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rsyslogd", "-n", "-f", file, "-i", filepath.Join(dir, "pid"))
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	var c net.Conn
	for deadline := time.Now().Add(20 * time.Second); c == nil; {
		if c, err = net.Dial("tcp", in); err != nil {
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // until rsyslogd listens
		}
	}
	for line := range strings.Lines(lines("rsyslog")) {
		if _, err := fmt.Fprintf(c, "<13>Jan  1 00:00:00 host tag: %s", line); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	p.check(t, "t", "rsyslog", records, false)
}
