package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// The test binary runs itself in these roles, so that parts can be killed.
const (
	roleVariable = "DECODER_CHAOS_ROLE"
	roleBroker   = "broker"
	roleWorker   = "worker"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(roleVariable) {
	case roleBroker:
		err = broker()
	case roleWorker:
		err = worker()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func scope() obs.Scope { return obs.Scope{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))} }

func untilTerminated() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM)
}

// broker is an embedded log by itself.
func broker() error {
	ctx, cancel := untilTerminated()
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{Dir: os.Getenv("DIR"), Listen: os.Getenv("LISTEN"), Open: true}, scope())
	if err != nil {
		return err
	}
	defer b.Close()
	<-ctx.Done()
	return nil
}

// worker is one process of the stage under test.
func worker() error {
	ctx, cancel := untilTerminated()
	defer cancel()
	b, err := bus.Open(ctx, bus.Config{Brokers: strings.Split(os.Getenv("BROKERS"), ",")}, scope())
	if err != nil {
		return err
	}
	defer b.Close()
	concurrency, err := strconv.Atoi(os.Getenv("CONCURRENCY"))
	if err != nil {
		return err
	}
	destination := os.Getenv("DESTINATION")
	rt := client.NewRuntime(b, scope())
	c, err := rt.New(client.Spec{
		Name: name, Inputs: []string{bus.TopicJSON}, Outputs: []string{bus.TopicEvents}, Version: "chaos",
		Stage: &caller{url: destination, http: &http.Client{Timeout: 2 * time.Second}}, Concurrency: concurrency,
		Attempts: 4, Backoff: 10 * time.Millisecond, Timeout: 3 * time.Second, Session: 6 * time.Second,
	})
	if err != nil {
		return err
	}
	go report(ctx, rt)
	return c.Run(ctx)
}

// report writes now and then what the client does, for whoever wonders.
func report(ctx context.Context, rt *client.Runtime) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
			scope().Log.InfoContext(ctx, "status", "clients", fmt.Sprintf("%+v", rt.Status()))
		}
	}
}

const name = "caller"

// caller is a stage with an outside call.
type caller struct {
	url  string
	http *http.Client
}

func (c *caller) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	if err := c.call(ctx, in.Value); err != nil {
		return err
	}
	out.Emit(bus.TopicEvents, in.Key, in.Value, bus.Header{Key: event.HeaderID, Value: []byte(event.ID(in.Origin, event.KindEvent, 0))})
	return nil
}

func (c *caller) call(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return fault.NewRetry("unreachable", err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return fault.NewRetry("unreachable", err)
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnprocessableEntity:
		return fault.NewPermanent("rejected", errors.New(answer.Status))
	case http.StatusTooManyRequests:
		return fault.NewThrottled("throttled", 20*time.Millisecond, errors.New(answer.Status))
	default:
		return fault.NewRetry("unavailable", errors.New(answer.Status))
	}
}

func (c *caller) Check(ctx context.Context) error { return c.call(ctx, []byte("check")) }
