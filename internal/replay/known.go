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
	// Capture is the hash in the origin of what was fed where that is not the
	// content's: versions before took that of a gzipped file as it lies there.
	Capture  string         `json:"capture,omitempty"`
	Round    int            `json:"round"` // how often it was fed, the times before having been forgotten
	Lines    int64          `json:"lines"`
	Refused  int            `json:"refused,omitempty"` // of the lines, by the log
	Packets  int64          `json:"packets"`
	Events   map[string]int `json:"events"`
	Alerts   map[string]int `json:"alerts"`
	Loading  Loading        `json:"loading,omitzero"`
	Complete bool           `json:"complete"`        // what was fed is all that the capture ever gives
	Short    string         `json:"short,omitempty"` // why that is not all of the capture
}

// origin names what the lines of a capture come from; a round after the first
// is part of it.
func (a account) origin(content, rules string) string {
	origin := "suricata:capture-" + content + "-" + rules
	if a.Capture != "" {
		origin = "suricata:capture-" + a.Capture + "-" + rules
	}
	if a.Round > 1 {
		origin += "." + strconv.Itoa(a.Round)
	}
	return origin
}

func (r *Replayer) accountPath(capture, rules string) string {
	return filepath.Join(r.opts.Dir, "known", capture+"-"+rules+".json")
}

// known returns the account of a capture that was replayed with the same rules
// before and is still kept, or one of the round to feed it under.
func (r *Replayer) known(ctx context.Context, s shape, rules string) (account, bool, error) {
	a, kept, err := r.account(ctx, s.SHA256, rules)
	if err != nil || kept || s.Packed == "" {
		return a, kept, err
	}
	before, kept, err := r.account(ctx, s.Packed, rules)
	if err != nil || !kept {
		return a, false, err
	}
	before.Capture = s.Packed
	if a.Round > 1 { // the rounds of the copy that is not packed are counted on
		return before, true, nil
	}
	return before, true, r.keep(s.SHA256, rules, before) // for that copy
}

// account returns the account kept under a hash, and whether what was fed then
// is still stored. If not, it is an empty one of the next round.
func (r *Replayer) account(ctx context.Context, sum, rules string) (account, bool, error) {
	var a account
	err := readJSON(r.accountPath(sum, rules), &a)
	if errors.Is(err, fs.ErrNotExist) {
		return account{Round: 1}, false, nil
	}
	if err != nil {
		return account{}, false, err
	}
	if !a.Complete {
		return account{Round: a.Round + 1}, false, nil
	}
	if a.Lines == 0 || r.deps.Kept == nil {
		return a, true, nil
	}
	for _, line := range []int64{0, a.Lines - 1} {
		kept, err := r.deps.Kept(ctx, a.origin(sum, rules)+":"+strconv.FormatInt(line, 10))
		if err != nil {
			return account{}, false, fmt.Errorf("asking whether a capture is still stored: %w", err)
		}
		if !kept {
			return account{Round: a.Round + 1}, false, nil
		}
	}
	return a, true, nil
}

func (r *Replayer) keep(sum, rules string, a account) error {
	if err := os.MkdirAll(filepath.Join(r.opts.Dir, "known"), 0o700); err != nil {
		return fmt.Errorf("keeping what a capture gave: %w", err)
	}
	return atomicfile.WriteJSON(r.accountPath(sum, rules), a)
}

// remember keeps the account of a capture that has been fed.
func (r *Replayer) remember(m meta, found fed) error {
	if m.Known || m.Rules == "" {
		return nil
	}
	return r.keep(m.Capture.SHA256, m.Rules, account{
		Round: m.Round, Lines: found.Lines, Refused: found.Refused, Packets: m.Capture.Packets,
		Events: found.Events, Alerts: found.Alerts, Loading: m.Loading, Short: m.Short,
		Complete: m.Whole || m.Capture.Error == "", // versions before did not write Whole
	})
}

// abandon keeps that a part of a capture was fed and the rest will not be: its
// next replay is of another round.
func (r *Replayer) abandon(m meta) error {
	return r.keep(m.Capture.SHA256, m.Rules, account{Round: m.Round})
}

// recall makes m what reading and feeding a known capture again would give.
func (m *meta) recall(a account) {
	m.Known, m.Found = true, fed{Lines: a.Lines, Refused: a.Refused, Events: a.Events, Alerts: a.Alerts}
	m.Capture.Packets, m.Loading = a.Packets, a.Loading
	if a.Short != "" {
		m.Capture.Error = a.Short
	}
}
