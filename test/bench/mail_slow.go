package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/hygiene/reputation"
	"github.com/decodersring/decoder/internal/obs"
	hygienestage "github.com/decodersring/decoder/internal/stage/hygiene"
)

// slowServiceRate runs hygiene as a client of an embedded log. Every message
// asks a service about one domain that nobody asked about before, and the
// service takes 100 ms. The rate is that of the answers between the first and
// the last, so that joining the group does not count.
func slowServiceRate(ctx context.Context, n int) (float64, error) {
	var answered atomic.Int64
	var first, last atomic.Int64
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		first.CompareAndSwap(0, time.Now().UnixNano())
		time.Sleep(100 * time.Millisecond)
		fmt.Fprint(w, `{"score":1}`)
		last.Store(time.Now().UnixNano())
		if answered.Add(1) == int64(n) {
			close(done)
		}
	}))
	defer srv.Close()
	p, err := reputation.HTTP(reputation.HTTPConfig{Name: "slow", Kinds: []reputation.Kind{reputation.Domain}, URL: srv.URL + "/{domain}", Score: "/score", From: 50})
	if err != nil {
		return 0, err
	}
	services, err := reputation.New(reputation.Privacy{}, []reputation.Asked{{Provider: p, Limits: reputation.Limits{Rate: 1e6, Burst: 1e6}}}, nil, obs.Scope{})
	if err != nil {
		return 0, err
	}
	lists, err := hygiene.Load("")
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "decoder-bench-mail-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	b, err := bus.Open(ctx, bus.Config{Dir: dir}, obs.Scope{})
	if err != nil {
		return 0, err
	}
	defer b.Close()
	if err := appendDocuments(ctx, b, n); err != nil {
		return 0, err
	}
	st := hygienestage.New(hygiene.New(hygiene.Config{}, lists, services, nil), hygiene.Keep{}, obs.Scope{})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- client.Run(running, b, client.Spec{
			Name: "hygiene", Inputs: []string{bus.TopicJsonified}, Outputs: []string{bus.TopicEvents, bus.TopicEmailAlert, bus.TopicRecheck},
			Stage: st, Concurrency: hygienestage.Concurrency, Window: hygienestage.Window,
		}, obs.Scope{})
	}()
	select {
	case <-done:
	case err := <-ended:
		stop()
		return 0, errors.Join(errors.New("the client ended"), err)
	case <-time.After(2 * time.Minute):
		err = fmt.Errorf("only %d of %d messages were asked about", answered.Load(), n)
	}
	stop()
	return float64(n) / (float64(last.Load()-first.Load()) / 1e9), errors.Join(err, <-ended)
}

func appendDocuments(ctx context.Context, b *bus.Bus, n int) error {
	records := make([]*bus.Record, 0, n)
	for i := range n {
		doc := mail.Decode(fmt.Appendf(nil, "From: a@d%d.example\nMessage-ID: <%d@x>\n\nhello", i, i), mail.Delivery{}, mail.Options{})
		v, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		records = append(records, &bus.Record{Topic: bus.TopicJsonified, Key: []byte(doc.Mail.Identity), Value: v})
	}
	return b.Append(ctx, records...)
}
