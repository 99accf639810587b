package elastic

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/fault"
)

const (
	maxID     = 512      // bytes; a longer _id makes the whole request fail
	maxAnswer = 64 << 20 // bytes read of an answer
)

// encode returns the bulk request's body, gzipped, and the index in the batch
// of each document in it. What cannot be sent is put into refused.
func (s *Sink) encode(batch []*client.Record, refused client.RecordErrors) (body []byte, sent []int) {
	var out bytes.Buffer
	z, _ := s.zips.Get().(*gzip.Writer)
	defer s.zips.Put(z)
	z.Reset(&out)
	for i, r := range batch {
		d := r.Document()
		doc, err := oneLine(r.Value)
		if err == nil && len(d.ID) > maxID {
			err = fault.NewPermanent(CodeDocument, fmt.Errorf("an id has %d bytes, at most %d are taken", len(d.ID), maxID))
		}
		if err != nil {
			refused[i] = err
			s.metrics.documents.WithLabelValues(resultRefused).Inc()
			continue
		}
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			} `json:"create"`
		}
		action.Create.Index, action.Create.ID = s.index(r, d), d.ID
		line, _ := json.Marshal(action) // two strings
		for _, part := range [][]byte{line, newline, doc, newline} {
			_, _ = z.Write(part) // a buffer takes everything
		}
		sent = append(sent, i)
	}
	_ = z.Close()
	return out.Bytes(), sent
}

var newline = []byte{'\n'}

// oneLine returns the document as it must stand in a bulk request. The format
// is lines, so a newline within a document would make what follows it an action
// of its own, one that deletes, say.
func oneLine(doc []byte) ([]byte, error) {
	if b := bytes.TrimLeft(doc, " \t\r\n"); len(b) == 0 || b[0] != '{' {
		return nil, fault.NewPermanent(CodeDocument, errors.New("the value is no JSON object"))
	}
	if bytes.IndexByte(doc, '\n') < 0 {
		return doc, nil // whether it is JSON, the other side says
	}
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		return nil, fault.NewPermanent(CodeDocument, fmt.Errorf("the value is no JSON object: %w", err))
	}
	return b.Bytes(), nil
}

// item is what became of one document.
type item struct {
	Status int   `json:"status"`
	Error  cause `json:"error"`
}

// bulk sends the body of n documents and returns what became of each.
func (s *Sink) bulk(ctx context.Context, body []byte, n int) ([]item, error) {
	at := s.base.JoinPath("/_bulk")
	at.RawQuery = "filter_path=items.*.status,items.*.error.type,items.*.error.reason"
	began := time.Now()
	answer, err := s.call(ctx, http.MethodPost, at, "application/x-ndjson", body)
	if err != nil {
		return nil, err
	}
	s.metrics.seconds.Observe(time.Since(began).Seconds())
	s.metrics.bytes.Add(float64(len(body)))
	var result struct {
		Items []struct {
			Create *item `json:"create"`
		} `json:"items"`
	}
	if err := json.Unmarshal(answer, &result); err != nil || len(result.Items) != n {
		return nil, fault.NewRetry(CodeAnswer, fmt.Errorf("%w: %d of %d documents are in it", errAnswer, len(result.Items), n))
	}
	items := make([]item, n)
	for i, it := range result.Items {
		if it.Create == nil || it.Create.Status == 0 {
			return nil, fault.NewRetry(CodeAnswer, errAnswer)
		}
		items[i] = *it.Create
	}
	return items, nil
}

// call sends a request, a bulk's body being gzipped, and returns the answer's
// body if its status is 200. An error never holds credentials: they are in no
// URL.
func (s *Sink) call(ctx context.Context, method string, at *url.URL, contentType string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = s.header.Clone()
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if contentType == "application/x-ndjson" {
		r.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := s.client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, fault.NewRetry(CodeUnreachable, fmt.Errorf("calling %s: %w", s.base.Host, err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fault.NewRetry(CodeUnreachable, fmt.Errorf("reading the answer of %s: %w", s.base.Host, err))
	}
	if resp.StatusCode == http.StatusOK {
		return answer, nil
	}
	var failed struct{ Error cause }
	if json.Unmarshal(answer, &failed) != nil || failed.Error == (cause{}) {
		failed.Error.Reason = "no reason given"
	}
	return nil, ofRequest(resp.StatusCode, failed.Error, retryAfter(resp.Header.Get("Retry-After")))
}

// retryAfter reads a number of seconds; 0 is none, or a date, which no server
// of this kind gives.
func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 600)) * time.Second
}
