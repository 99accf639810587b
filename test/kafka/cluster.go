package kafka

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed testdata/log4j2.properties
var logging []byte

const (
	clusterID = "ZGVjb2RlcnNyaW5ndGVzdA" // any 16 bytes, in URL-safe base 64
	patience  = 90 * time.Second         // with a broker that starts
)

// Options of a cluster.
type Options struct {
	Brokers  int      // each a controller too; 0 means 1
	Settings []string // lines of its configuration, after those that make it run
	Java     []string // options of the virtual machine; nil means a small one
}

// LargeMessages returns the settings with which a broker takes messages as
// large as the program's largest topics allow.
func LargeMessages() []string {
	return []string{"message.max.bytes=70000000", "replica.fetch.max.bytes=70000000", "socket.request.max.bytes=160000000"}
}

// Cluster is a running Kafka.
type Cluster struct {
	options Options
	jars    string
	dir     string
	nodes   []*node
}

// Start runs Kafka until the test ends. It skips the test, saying what is
// missing, where Java or Maven is absent or the artifacts cannot be fetched.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	Jars(t)
	c, err := Launch(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// Launch starts Kafka with its files in dir, and returns when all brokers
// listen. Stop ends it.
func Launch(ctx context.Context, dir string, o Options) (*Cluster, error) {
	lib, err := jars()
	if err != nil {
		return nil, err
	}
	o.Brokers = max(1, o.Brokers)
	if o.Java == nil {
		o.Java = []string{"-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"}
	}
	c := &Cluster{options: o, jars: lib, dir: dir}
	ports, err := freePorts(2 * o.Brokers)
	if err != nil {
		return nil, err
	}
	for i := range o.Brokers {
		c.nodes = append(c.nodes, &node{id: i + 1, port: ports[2*i], controller: ports[2*i+1]})
	}
	if err := c.run(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) run(ctx context.Context) error {
	if err := os.WriteFile(c.logConfig(), logging, 0o600); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := c.format(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range c.nodes { // before any is awaited: they elect a controller together
		if err := c.start(n); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := n.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Addr returns the address of the first broker.
func (c *Cluster) Addr() string { return c.nodes[0].addr() }

// Brokers returns the addresses to bootstrap from.
func (c *Cluster) Brokers() []string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, n.addr())
	}
	return all
}

// PID is the process of the i-th broker.
func (c *Cluster) PID(i int) int { return c.nodes[i].cmd.Process.Pid }

// Kill ends the i-th broker at once, as a failing machine would.
func (c *Cluster) Kill(i int) { c.nodes[i].end(syscall.SIGKILL) }

// Restart starts the i-th broker again and waits until it answers.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	if err := c.start(c.nodes[i]); err != nil {
		return err
	}
	return c.nodes[i].await(ctx)
}

// Stop ends the brokers as an operator would, all at once.
func (c *Cluster) Stop() {
	for _, n := range c.nodes {
		n.signal(syscall.SIGTERM)
	}
	for _, n := range c.nodes {
		n.end(syscall.SIGTERM)
	}
}

func (c *Cluster) properties(n *node) string {
	var voters []string
	for _, m := range c.nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", m.id, m.controller))
	}
	replicas := len(c.nodes)
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", n.id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", n.addr(), n.controller),
		"advertised.listeners=PLAINTEXT://" + n.addr(),
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + filepath.Join(c.dir, fmt.Sprint("data-", n.id)),
		fmt.Sprintf("default.replication.factor=%d", replicas),
		fmt.Sprintf("min.insync.replicas=%d", (replicas+1)/2),
		fmt.Sprintf("offsets.topic.replication.factor=%d", replicas),
		"offsets.topic.num.partitions=6",
		fmt.Sprintf("transaction.state.log.replication.factor=%d", replicas),
		"transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"unclean.leader.election.enable=false",
		"auto.create.topics.enable=false",
	}
	if replicas > 1 { // a killed broker is missed soon
		lines = append(lines, "broker.heartbeat.interval.ms=500", "broker.session.timeout.ms=3000",
			"controller.quorum.election.timeout.ms=500", "controller.quorum.fetch.timeout.ms=1000")
	}
	return strings.Join(append(lines, c.options.Settings...), "\n") + "\n"
}

func (c *Cluster) config(n *node) string {
	return filepath.Join(c.dir, fmt.Sprint("node-", n.id, ".properties"))
}

func (c *Cluster) logConfig() string { return filepath.Join(c.dir, "log4j2.properties") }

func (c *Cluster) java(ctx context.Context, class string, args ...string) *exec.Cmd {
	all := slices.Concat(c.options.Java, []string{
		"-Dlog4j2.configurationFile=" + c.logConfig(), "-cp", filepath.Join(c.jars, "*"), class,
	}, args)
	cmd := exec.CommandContext(ctx, "java", all...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (c *Cluster) format(ctx context.Context, n *node) error {
	if err := os.WriteFile(c.config(n), []byte(c.properties(n)), 0o600); err != nil {
		return err
	}
	cmd := c.java(ctx, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", c.config(n))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("formatting Kafka's storage: %w\n%s", err, out)
	}
	return nil
}

// start runs a broker. It ends by end, not with a context: cleanups of a test
// stop it, and they run when the test's context is already done.
func (c *Cluster) start(n *node) error {
	out, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprint("node-", n.id, ".log")), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd, ended := c.java(context.Background(), "kafka.Kafka", c.config(n)), make(chan struct{})
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return errors.Join(err, out.Close())
	}
	n.cmd, n.log, n.ended = cmd, out.Name(), ended
	go func() {
		_ = cmd.Wait() // killed brokers end with an error
		_ = out.Close()
		close(ended)
	}()
	return nil
}

type node struct {
	id         int
	port       int
	controller int // the port its fellows vote on
	cmd        *exec.Cmd
	log        string
	ended      chan struct{}
}

func (n *node) addr() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

func (n *node) signal(s syscall.Signal) {
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(s) // it may have ended by itself
	}
}

// end sends the signal and waits; a broker that does not heed it is killed.
func (n *node) end(s syscall.Signal) {
	if n.cmd == nil {
		return
	}
	n.signal(s)
	select {
	case <-n.ended:
	case <-time.After(20 * time.Second):
		n.signal(syscall.SIGKILL)
		<-n.ended
	}
}

func (n *node) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var d net.Dialer
	for {
		if conn, err := d.DialContext(ctx, "tcp", n.addr()); err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for Kafka's broker %d: %w\n%s", n.id, ctx.Err(), n.tail())
		case <-n.ended:
			return fmt.Errorf("starting Kafka's broker %d: it has ended\n%s", n.id, n.tail())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (n *node) tail() string {
	b, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // held until all are found, so that each is another
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
