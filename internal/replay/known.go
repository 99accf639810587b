package replay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/decodersring/decoder/internal/atomicfile"
)

// account is what replaying a capture with a set of rules gave. It is kept,
// since the engine writes the same lines in another order each time, and marks
// some of them differently: were they fed again, a line would come under the
// id of another one.
type account struct {
	Round    int            `json:"round"` // how often it was fed, the times before having been forgotten
	Lines    int64          `json:"lines"`
	Packets  int64          `json:"packets"`
	Events   map[string]int `json:"events"`
	Alerts   map[string]int `json:"alerts"`
	Complete bool           `json:"complete"` // the capture was read whole, and all of it was fed
}

// originOf names what lines come from; a round after the first is part of it.
func originOf(capture, rules string, round int) string {
	origin := "suricata:capture-" + capture + "-" + rules
	if round > 1 {
		origin += "." + strconv.Itoa(round)
	}
	return origin
}

func (r *Replayer) accountPath(capture, rules string) string {
	return filepath.Join(r.opts.Dir, "known", capture+"-"+rules+".json")
}

// known returns the account of a capture that was replayed with the same rules
// before and is still kept, or one of the round to feed it under.
func (r *Replayer) known(ctx context.Context, capture, rules string) (account, bool, error) {
	var a account
	err := readJSON(r.accountPath(capture, rules), &a)
	if errors.Is(err, fs.ErrNotExist) {
		return account{Round: 1}, false, nil
	}
	if err != nil {
		return account{}, false, err
	}
	if !a.Complete {
		return account{Round: a.Round + 1}, false, nil
	}
	origin := originOf(capture, rules, a.Round)
	if a.Lines == 0 || r.deps.Kept == nil {
		return a, true, nil
	}
	for _, line := range []int64{0, a.Lines - 1} {
		kept, err := r.deps.Kept(ctx, origin+":"+strconv.FormatInt(line, 10))
		if err != nil {
			return account{}, false, fmt.Errorf("asking whether a capture is still stored: %w", err)
		}
		if !kept {
			return account{Round: a.Round + 1}, false, nil
		}
	}
	return a, true, nil
}

// remember keeps the account of a capture that has been fed.
func (r *Replayer) remember(m meta, found fed) error {
	if m.Known || m.Rules == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(r.opts.Dir, "known"), 0o700); err != nil {
		return fmt.Errorf("keeping what a capture gave: %w", err)
	}
	return atomicfile.WriteJSON(r.accountPath(m.Capture.SHA256, m.Rules), account{
		Round: m.Round, Lines: found.Lines, Packets: m.Capture.Packets, Events: found.Events, Alerts: found.Alerts,
		Complete: m.Capture.Error == "" && found.Refused == 0,
	})
}

// abandon keeps that a part of a capture was fed and the rest will not be: its
// next replay is of another round.
func (r *Replayer) abandon(m meta) error {
	if err := os.MkdirAll(filepath.Join(r.opts.Dir, "known"), 0o700); err != nil {
		return fmt.Errorf("keeping what a capture gave: %w", err)
	}
	return atomicfile.WriteJSON(r.accountPath(m.Capture.SHA256, m.Rules), account{Round: m.Round})
}

// recall is what feeding a known capture again would give.
func recall(a account) fed {
	return fed{Lines: a.Lines, Events: a.Events, Alerts: a.Alerts}
}
