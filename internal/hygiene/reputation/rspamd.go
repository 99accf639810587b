package reputation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/fault"
)

// Fetch returns a message's bytes by its place in the log, as
// "topic/partition/offset"; nil when the log holds it no more.
type Fetch func(ctx context.Context, place string) ([]byte, error)

type rspamd struct {
	url      string
	password config.Secret
	fetch    Fetch
	client   *http.Client
}

// Rspamd asks a rspamd of one's own for the whole message, POST /checkv2. The
// message leaves for where base says, nowhere else.
func Rspamd(base string, password config.Secret, fetch Fetch) Provider {
	return &rspamd{strings.TrimSuffix(or(base, "http://127.0.0.1:11333"), "/") + "/checkv2", password, fetch, newHTTPClient()}
}

func (r *rspamd) Name() string  { return "rspamd" }
func (r *rspamd) Kinds() []Kind { return []Kind{Message} }

func (r *rspamd) Ask(ctx context.Context, _ Kind, place string) (Result, error) {
	raw, err := r.fetch(ctx, place)
	if err != nil {
		return Result{}, fault.NewRetry(CodeService, fmt.Errorf("reading the message: %w", err))
	}
	if raw == nil {
		return Result{Verdict: Unknown, Detail: "the log holds the message no more"}, nil
	}
	req, err := http.NewRequest(http.MethodPost, r.url, bytes.NewReader(raw))
	if err != nil {
		return Result{}, fault.NewPermanent(CodeService, errors.New("the address of rspamd is none"))
	}
	if p := r.password.Reveal(); p != "" {
		req.Header.Set("Password", p)
	}
	a, err := do(ctx, r.client, req)
	if err != nil {
		return Result{}, err
	}
	if a.status != http.StatusOK {
		return Result{}, a.refusal()
	}
	var v struct {
		Action   string  `json:"action"`
		Score    float64 `json:"score"`
		Required float64 `json:"required_score"`
		Skipped  bool    `json:"is_skipped"`
		Symbols  map[string]struct {
			Score float64 `json:"score"`
		} `json:"symbols"`
		Error string `json:"error"`
	}
	if err := a.decode(&v); err != nil {
		return Result{}, err
	}
	switch {
	case v.Error != "" || v.Action == "":
		return Result{}, fault.NewRetry(CodeService, errors.New("rspamd reports an error"))
	case v.Skipped || v.Action == "soft reject":
		return Result{Verdict: Unknown, Detail: v.Action}, nil
	case v.Action == "reject" || v.Action == "add header" || v.Action == "rewrite subject":
		var top []string
		for name, s := range v.Symbols {
			if s.Score >= 1 {
				top = append(top, name)
			}
		}
		slices.Sort(top)
		score := 100.0
		if v.Required > 0 {
			score = min(100, max(1, 100*v.Score/v.Required))
		}
		return Result{Verdict: Bad, Score: score, Detail: mail.Truncate(fmt.Sprintf("%s, %.1f of %.1f: %s", v.Action, v.Score, v.Required, strings.Join(top, " ")), 200)}, nil
	}
	return Result{Verdict: Clean, Detail: v.Action}, nil
}
