package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/decodersring/decoder/internal/suricata"
)

const fakeEngineVariable = "DECODER_TEST_FAKE_ENGINE"

// TestMain lets the test binary be the programs that its tests start.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(fakeEngineVariable) != "":
		runFakeEngine(os.Args[1:])
	case os.Getenv(victimVariable) != "":
		runVictim(os.Getenv(victimVariable))
	default:
		os.Exit(m.Run())
	}
}

// fakeEngine returns an engine that speaks the command socket's protocol, finds
// an alert in every packet, and is killed by a capture named crash.pcap:
// what no real engine does on demand.
func fakeEngine(t *testing.T) func(context.Context) (suricata.Binary, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "engine")
	text := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", fakeEngineVariable, self)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return func(context.Context) (suricata.Binary, error) {
		return suricata.Binary{Path: script, Version: "7.0.10", Major: 7}, nil
	}
}

func runFakeEngine(args []string) {
	var socket string
	for _, a := range args {
		if s, ok := strings.CutPrefix(a, "--unix-socket="); ok {
			socket = s
		}
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println("E: fake:", err)
		os.Exit(1)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go fakeCommands(conn)
	}
}

func fakeCommands(conn net.Conn) {
	for s := bufio.NewScanner(conn); s.Scan(); {
		var q struct {
			Command   string
			Arguments struct {
				Filename string
				Out      string `json:"output-dir"`
			}
		}
		_ = json.Unmarshal(s.Bytes(), &q)
		message := `""`
		switch q.Command {
		case "pcap-file":
			if filepath.Base(q.Arguments.Filename) == "crash.pcap" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			fakeRead(q.Arguments.Filename, q.Arguments.Out)
		case "pcap-current":
			message = `"None"`
		case "pcap-file-number":
			message = `0`
		case "ruleset-stats":
			message = `[{"rules_loaded":1}]`
		}
		fmt.Fprintf(conn, `{"return":"OK","message":%s}`+"\n", message)
	}
}

func fakeRead(capture, out string) {
	s, _ := inspect(capture, 0, nil) // never a packed one
	f, err := os.OpenFile(filepath.Join(out, "eve.json"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(1)
	}
	defer f.Close()
	for range s.Packets {
		fmt.Fprintln(f, `{"event_type":"alert","alert":{"signature_id":1000900}}`)
	}
	fmt.Fprintf(f, `{"event_type":"stats","stats":{"decoder":{"pkts":%d}}}`+"\n", s.Packets)
}
