// Package kafka starts Apache Kafka for tests: one node in KRaft mode on
// loopback, from the jars Maven has, and runs Kafka's own tools. It needs java
// (17 or newer) and mvn; without them a test is skipped, loudly.
package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Version of Apache Kafka.
const Version = "4.1.0"

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>test</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + Version + `</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>` + Version + `</version></dependency>
  </dependencies>
</project>
`

// jars fetches Kafka once a process; Maven keeps it for the next.
var jars = sync.OnceValues(func() (string, error) {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("install java 17 and maven: %w", err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "decoder-test", "kafka-"+Version)
	lib := filepath.Join(dir, "lib")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return lib, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom), 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+lib)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetching Kafka by mvn: %w\n%s", err, out)
	}
	return lib, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
})

// Jars returns the folder of Kafka's jars, or skips the test.
func Jars(t testing.TB) string {
	t.Helper()
	lib, err := jars()
	if err != nil {
		t.Skipf("SKIPPED, Apache Kafka is not available: %v", err)
	}
	return lib
}

// Java returns a command that runs a class of Kafka's.
func Java(t testing.TB, class string, args ...string) *exec.Cmd {
	t.Helper()
	lib := Jars(t)
	all := append([]string{
		"-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(lib, "*"), class,
	}, args...)
	return exec.CommandContext(t.Context(), "java", all...)
}

// Tool runs one of Kafka's tools and returns what it prints. The test fails
// when the tool does.
func Tool(t testing.TB, stdin, class string, args ...string) string {
	t.Helper()
	cmd := Java(t, class, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", class, strings.Join(args, " "), err, &out, &errOut)
	}
	return out.String()
}

// Broker is a running Kafka.
type Broker struct {
	Addr   string
	Dir    string
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
}

// Start runs Kafka until the test ends. settings are lines of its
// configuration, added to what makes it run.
func Start(t testing.TB, settings ...string) *Broker {
	t.Helper()
	Jars(t)
	b, err := Launch(t.Context(), t.TempDir(), settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

// Launch starts Kafka with its files in dir, and returns when it answers. Stop
// ends it.
func Launch(ctx context.Context, dir string, settings ...string) (*Broker, error) {
	lib, err := jars()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	controller, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config := strings.Join(append([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + controller,
		"listeners=PLAINTEXT://" + addr + ",CONTROLLER://" + controller,
		"advertised.listeners=PLAINTEXT://" + addr,
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + filepath.Join(dir, "log"),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"auto.create.topics.enable=false",
	}, settings...), "\n") + "\n"
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	format := exec.CommandContext(ctx, "java", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(lib, "*"),
		"kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", file)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("formatting Kafka's storage: %w\n%s", err, out)
	}
	b := &Broker{Addr: addr, Dir: dir, exited: make(chan struct{})}
	return b, b.run(ctx, lib, file)
}

func (b *Broker) run(ctx context.Context, lib, file string) error {
	var err error
	if b.log, err = os.Create(filepath.Join(b.Dir, "kafka.out")); err != nil {
		return err
	}
	b.cmd = exec.Command("java", "-Xmx1g", "-cp", filepath.Join(lib, "*"), "kafka.Kafka", file)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = b.cmd.Wait()
		close(b.exited)
	}()
	if err := waitFor(ctx, b.Addr, b.exited); err != nil {
		b.Stop()
		out, _ := os.ReadFile(b.log.Name())
		return fmt.Errorf("starting Kafka: %w\n%s", err, out[max(0, len(out)-4000):])
	}
	return nil
}

// Stop ends Kafka.
func (b *Broker) Stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(20 * time.Second):
		_ = b.cmd.Process.Kill()
		<-b.exited
	}
	_ = b.log.Close()
}

// PID is the process of the broker.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

func waitFor(ctx context.Context, addr string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var d net.Dialer
	for {
		if c, err := d.DialContext(ctx, "tcp", addr); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-exited:
			return errors.New("it has ended")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
