// Package kafka starts Apache Kafka for tests and benchmarks: one broker or
// several in KRaft mode on loopback, from the jars Maven has, with brokers that
// can be killed and started again; and it runs Kafka's own tools. It needs java
// (17 or newer) and mvn; without them a test is skipped, loudly. It knows
// nothing of the program.
package kafka

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
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
