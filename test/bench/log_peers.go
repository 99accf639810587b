package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/test/kafka"
)

// logServer is a broker under measurement, in a process of its own.
type logServer struct {
	addr string
	pid  int
	stop func()
	kill func()
}

// logPeer starts a broker on a folder.
type logPeer struct {
	name  string
	start func(ctx context.Context, dir, listen string) (*logServer, error)
}

func logPeers() []logPeer {
	return []logPeer{
		{"ours", child("ours")},
		{"kfake, synced", child("kfake")},
		{"Kafka", kafkaPeer()},
		{"Kafka, flush.messages=1", kafkaPeer("log.flush.interval.messages=1")},
	}
}

const serverEnv, dirEnv, listenEnv = "BENCH_LOG_SERVER", "BENCH_LOG_DIR", "BENCH_LOG_LISTEN"

// serveLog is the main function of a child: it serves until it is told to end.
func serveLog() bool {
	kind, dir, listen := os.Getenv(serverEnv), os.Getenv(dirEnv), os.Getenv(listenEnv)
	if kind == "" {
		return false
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	serve := map[string]func(ctx context.Context, dir, listen string) error{
		"ours": serveOurs, "kfake": serveFake, readerKind: readAgain,
	}[kind]
	if err := serve(ctx, dir, listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func serveOurs(ctx context.Context, dir, listen string) error {
	b, err := broker.New(broker.Config{DataDir: dir, Listen: listen, Open: true}, obs.Scope{})
	if err != nil {
		return err
	}
	go func() {
		<-b.Ready()
		fmt.Println(b.Addr())
	}()
	return b.Run(ctx)
}

// readerKind is a child that is no server, but reads what one has.
const readerKind = "reader"

// readAgain reads everything of a topic again and again.
func readAgain(ctx context.Context, _, addr string) error {
	const topic = "throughput-6"
	records, err := countRecords(ctx, addr, topic)
	if err != nil {
		return err
	}
	fmt.Println(addr)
	for ctx.Err() == nil {
		if _, err := consumeMB(ctx, addr, topic, records*recordSize); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func serveFake(ctx context.Context, dir, listen string) error {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(n), kfake.DataDir(dir), kfake.SyncWrites())
	if err != nil {
		return err
	}
	fmt.Println(c.ListenAddrs()[0])
	<-ctx.Done()
	c.Close()
	return nil
}

func child(kind string) func(context.Context, string, string) (*logServer, error) {
	return func(_ context.Context, dir, listen string) (*logServer, error) {
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), serverEnv+"="+kind, dirEnv+"="+dir, listenEnv+"="+listen)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		end := func(s os.Signal) func() {
			return func() { _ = cmd.Process.Signal(s); _ = cmd.Wait() }
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			end(os.Kill)()
			return nil, fmt.Errorf("starting %s: %w", kind, err)
		}
		return &logServer{addr: strings.TrimSpace(line), pid: cmd.Process.Pid, stop: end(syscall.SIGTERM), kill: end(os.Kill)}, nil
	}
}

func kafkaPeer(settings ...string) func(context.Context, string, string) (*logServer, error) {
	return func(ctx context.Context, dir, _ string) (*logServer, error) {
		b, err := kafka.Launch(ctx, dir, kafka.Options{Settings: settings, Java: []string{"-Xmx1g"}})
		if err != nil {
			return nil, err
		}
		return &logServer{addr: b.Addr(), pid: b.PID(0), stop: b.Stop, kill: b.Stop}, nil
	}
}

// resident returns a process's resident memory in MiB.
func resident(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// processor returns the seconds of processor time a process has used.
func processor(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	const ticks = 100 // a second, on every Linux
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest) // from the third on
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticks
}

// freeListen returns a loopback address that is free.
func freeListen() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// since returns the time from then in milliseconds.
func since(then time.Time) float64 { return float64(time.Since(then).Microseconds()) / 1000 }
