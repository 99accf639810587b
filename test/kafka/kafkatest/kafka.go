// Package kafkatest starts Apache Kafka for tests: one broker or several in
// KRaft mode, on loopback, from its Maven artifacts, with brokers that can be
// killed and started again. It knows nothing of the program.
package kafkatest

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/test/kafka"
)

//go:embed testdata/log4j2.properties
var logging []byte

const clusterID = "ZGVjb2RlcnNyaW5ndGVzdA" // any 16 bytes, in URL-safe base 64

// Cluster is a running Kafka.
type Cluster struct {
	t     testing.TB
	jars  string
	dir   string
	nodes []*node
}

type node struct {
	id         int
	port       int
	controller int
	cmd        *exec.Cmd
	log        *os.File
	ended      chan struct{}
}

// Start starts so many brokers, each a controller too, and ends them with the
// test. It skips the test, saying what is missing, where Java or Maven is
// absent or the artifacts cannot be fetched.
func Start(t testing.TB, brokers int) *Cluster {
	t.Helper()
	c := &Cluster{t: t, jars: kafka.Jars(t), dir: t.TempDir()}
	ports := freePorts(t, 2*brokers)
	for i := range brokers {
		c.nodes = append(c.nodes, &node{id: i + 1, port: ports[2*i], controller: ports[2*i+1]})
	}
	if err := os.WriteFile(filepath.Join(c.dir, "log4j2.properties"), logging, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		c.format(n)
	}
	t.Cleanup(c.stop)
	for _, n := range c.nodes {
		c.start(n)
	}
	for _, n := range c.nodes {
		c.await(n)
	}
	return c
}

// Brokers returns the addresses to bootstrap from.
func (c *Cluster) Brokers() []string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, fmt.Sprintf("127.0.0.1:%d", n.port))
	}
	return all
}

// Kill ends the i-th broker at once, as a failing machine would.
func (c *Cluster) Kill(i int) {
	n := c.nodes[i]
	_ = n.cmd.Process.Kill() // it may have ended by itself
	<-n.ended
}

// Restart starts the i-th broker again and waits until it answers.
func (c *Cluster) Restart(i int) {
	c.start(c.nodes[i])
	c.await(c.nodes[i])
}

// ResidentBytes returns what the i-th broker holds in memory.
func (c *Cluster) ResidentBytes(i int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.nodes[i].cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(b), &total, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

func (c *Cluster) properties(n *node) string {
	var voters []string
	for _, m := range c.nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", m.id, m.controller))
	}
	replicas := len(c.nodes)
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d
advertised.listeners=PLAINTEXT://127.0.0.1:%d
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%s
default.replication.factor=%d
min.insync.replicas=%d
offsets.topic.replication.factor=%d
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=%d
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=70000000
replica.fetch.max.bytes=70000000
socket.request.max.bytes=160000000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
unclean.leader.election.enable=false
auto.create.topics.enable=false
`, n.id, strings.Join(voters, ","), n.port, n.controller, n.port, c.data(n), replicas, (replicas+1)/2, replicas, replicas)
}

func (c *Cluster) data(n *node) string { return filepath.Join(c.dir, fmt.Sprint("data-", n.id)) }

func (c *Cluster) file(n *node) string {
	return filepath.Join(c.dir, fmt.Sprint("node-", n.id, ".properties"))
}

func (c *Cluster) java(class string, arguments ...string) *exec.Cmd {
	all := []string{
		"-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.configurationFile=" + filepath.Join(c.dir, "log4j2.properties"),
		"-cp", filepath.Join(c.jars, "*"), class,
	}
	cmd := exec.Command("java", append(all, arguments...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (c *Cluster) format(n *node) {
	c.t.Helper()
	if err := os.WriteFile(c.file(n), []byte(c.properties(n)), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if out, err := c.java("kafka.tools.StorageTool", "format", "-t", clusterID, "-c", c.file(n)).CombinedOutput(); err != nil {
		c.t.Fatalf("formatting Kafka's storage: %v\n%s", err, out)
	}
}

func (c *Cluster) start(n *node) {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprint("node-", n.id, ".log")), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	n.cmd, n.log, n.ended = c.java("kafka.Kafka", c.file(n)), log, make(chan struct{})
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // killed brokers end with an error
		close(ended)
	}(n.cmd, n.ended)
}

func (c *Cluster) await(n *node) {
	c.t.Helper()
	deadline := time.After(90 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", n.port), time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-n.ended:
			c.t.Fatalf("Kafka broker %d has ended:\n%s", n.id, c.tail(n))
		case <-deadline:
			c.t.Fatalf("Kafka broker %d does not listen:\n%s", n.id, c.tail(n))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *Cluster) tail(n *node) string {
	b, err := os.ReadFile(n.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func (c *Cluster) stop() {
	for _, n := range c.nodes {
		if n.cmd == nil || n.cmd.Process == nil {
			continue
		}
		_ = n.cmd.Process.Kill() // it may have ended by itself
		<-n.ended
		_ = n.log.Close()
	}
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
