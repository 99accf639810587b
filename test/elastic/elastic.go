// Package elastic starts Elasticsearch and OpenSearch for tests: one node on
// loopback, from the jars Maven has, which can be killed and started again. It
// needs a JDK (17 or newer) and mvn; without them a test is skipped, loudly. It
// knows nothing of the program.
package elastic

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Product is a server and its version.
type Product struct {
	Name    string // as in its group and packages
	Version string
	Log4j   string // the version it was built with
}

// Products are the servers. Elasticsearch 8 is not among them: its network
// layer is not on Maven Central.
func Products() []Product {
	return []Product{{"opensearch", "2.19.1", "2.21.0"}, {"elasticsearch", "7.17.28", "2.17.1"}}
}

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>test</groupId><artifactId>server</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.%[1]s</groupId><artifactId>%[1]s</artifactId><version>%[2]s</version></dependency>
    <dependency><groupId>org.%[1]s.plugin</groupId><artifactId>transport-netty4-client</artifactId><version>%[2]s</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>%[3]s</version></dependency>
  </dependencies>
</project>
`

//go:embed testdata/Serve.java
var serve string

// patience is how long a node may take to answer.
const patience = 2 * time.Minute

// jars returns the folder of the server's jars, which are fetched once.
func (p Product) jars() (string, error) {
	for _, program := range []string{"javac", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("install a JDK 17 and maven: %w", err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "decoder-test")
	lib := filepath.Join(dir, p.Name+"-"+p.Version+"-jars")
	if _, err := os.Stat(lib); err == nil {
		return lib, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Several tests may fetch at once: whoever is first is kept.
	part, err := os.MkdirTemp(dir, "part-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	if err := os.WriteFile(filepath.Join(part, "pom.xml"), fmt.Appendf(nil, pom, p.Name, p.Version, p.Log4j), 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
	cmd.Dir = part
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetching %s by mvn: %w\n%s", p.Name, err, out)
	}
	if err := os.Rename(filepath.Join(part, "lib"), lib); err != nil {
		if _, gone := os.Stat(lib); gone != nil {
			return "", err
		}
	}
	return lib, nil
}

// Node is a running server.
type Node struct {
	dir, lib string
	port     string
	settings []string
	cmd      *exec.Cmd
	stdin    io.Closer
	log      *os.File
}

// Start runs a node until the test ends; settings are names and values in
// turn. It skips the test, saying what is missing, where Java or Maven is
// absent or the artifacts cannot be fetched.
func Start(t testing.TB, p Product, settings ...string) *Node {
	t.Helper()
	lib, err := p.jars()
	if err != nil {
		t.Skipf("SKIPPED, %s is not available: %v", p.Name, err)
	}
	n := &Node{dir: t.TempDir(), lib: lib, settings: settings}
	source := filepath.Join(n.dir, "Serve.java")
	if err := os.WriteFile(source, []byte(strings.ReplaceAll(serve, "opensearch", p.Name)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "javac", "-cp", n.classes(), "-d", n.dir, source).CombinedOutput(); err != nil {
		t.Fatalf("compiling: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, n.port, _ = net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	t.Cleanup(n.Kill)
	n.Restart(t)
	return n
}

func (n *Node) classes() string { return n.dir + ":" + filepath.Join(n.lib, "*") }

// URL is where the node's API is.
func (n *Node) URL() string { return "http://127.0.0.1:" + n.port }

// Restart starts the node again on what it stored, and waits until it answers.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	args := []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", n.classes(), "Serve", n.dir, n.port}
	n.cmd = exec.Command("java", append(args, n.settings...)...)
	var err error
	if n.log, err = os.Create(filepath.Join(n.dir, "log")); err != nil {
		t.Fatal(err)
	}
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		// Shards of an earlier life are there when the state is not red.
		if _, err = n.call(ctx, http.MethodGet, "/_cluster/health?wait_for_status=yellow&timeout=30s", ""); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			out, _ := os.ReadFile(n.log.Name())
			t.Fatalf("the server does not answer: %v\n%s", err, out)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Kill ends the node at once, as a failing machine would.
func (n *Node) Kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	_ = n.stdin.Close()
	_ = n.log.Close()
	n.cmd = nil
}

// Call asks the node's API and returns the answer, which must be of status 2xx.
func (n *Node) Call(t testing.TB, method, path, body string) []byte {
	t.Helper()
	answer, err := n.call(context.Background(), method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

func (n *Node) call(ctx context.Context, method, path, body string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, n.URL()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Close = true // no connection outlives the call
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = errors.New(string(answer))
	}
	return answer, err
}

// Hit is a document found.
type Hit struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	Source json.RawMessage `json:"_source"`
}

// Search returns every document of the indexes that match, at most 10,000.
func (n *Node) Search(t testing.TB, indexes, query string) []Hit {
	t.Helper()
	n.Call(t, http.MethodPost, "/"+indexes+"/_refresh", "") // else the last second is not seen
	answer := n.Call(t, http.MethodPost, "/"+indexes+"/_search", `{"size":10000,"query":`+query+`}`)
	var found struct{ Hits struct{ Hits []Hit } }
	if err := json.NewDecoder(bytes.NewReader(answer)).Decode(&found); err != nil {
		t.Fatal(err)
	}
	return found.Hits.Hits
}
