// Package measure says what the checks are worth on two folders of mail, one
// bad and one good: how many of each every check marks, with the interval in
// which the true share lies. It owns the counting and the table; it judges
// nothing itself.
package measure

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
)

// Count is how many of a folder's messages something was true of.
type Count struct{ N, Of int }

// Interval returns the 95 % Wilson score interval of the share.
func (c Count) Interval() (low, high float64) {
	if c.Of == 0 {
		return 0, 1
	}
	const z = 1.959964
	n, p := float64(c.Of), float64(c.N)/float64(c.Of)
	centre := p + z*z/(2*n)
	spread := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	d := 1 + z*z/n
	return max(0, (centre-spread)/d), min(1, (centre+spread)/d)
}

// String returns count, share and interval.
func (c Count) String() string {
	if c.Of == 0 {
		return "-"
	}
	low, high := c.Interval()
	return fmt.Sprintf("%d/%d %.1f%% [%.1f–%.1f]", c.N, c.Of, 100*float64(c.N)/float64(c.Of), 100*low, 100*high)
}

// Row is one line of the table: a check, or "together".
type Row struct {
	Name   string
	Points int
	Bad    Count
	Good   []Count // one for each good folder
}

// Report is the whole table.
type Report struct {
	Good    []string // the good folders' names
	Checks  []Row
	Suspect Row // suspicious or bad
	BadRow  Row // bad
	False   []Marked
	Missed  []Marked
	Slowest time.Duration
	Skipped int // files that are no messages
}

// Marked is a message judged otherwise than its folder says.
type Marked struct {
	Path    string
	Verdict hygiene.Verdict
}

// Folders judges every message of the bad folders, and of the good ones, which
// are counted one by one.
func Folders(ctx context.Context, e *hygiene.Engine, o mail.Options, bad, good []string) (*Report, error) {
	r := &Report{Good: good, Suspect: Row{Name: "suspicious or bad"}, BadRow: Row{Name: "bad"}}
	rows := map[string]*Row{}
	for _, c := range e.Checks() {
		r.Checks = append(r.Checks, Row{Name: c.Name, Points: c.Points, Good: make([]Count, len(good))})
	}
	for i := range r.Checks {
		rows[r.Checks[i].Name] = &r.Checks[i]
	}
	r.Suspect.Good, r.BadRow.Good = make([]Count, len(good)), make([]Count, len(good))
	folder := func(dir string, pick func(*Row) *Count, isBad bool) error {
		return r.walk(ctx, e, o, dir, func(path string, v hygiene.Verdict) {
			for _, row := range rows {
				pick(row).Of++
			}
			for _, f := range uniqueNames(v) {
				pick(rows[f]).N++
			}
			for _, t := range []struct {
				row *Row
				hit bool
			}{{&r.Suspect, v.Alarming()}, {&r.BadRow, v.Result == hygiene.Bad}} {
				pick(t.row).Of++
				if t.hit {
					pick(t.row).N++
				}
			}
			switch {
			case isBad && !v.Alarming():
				r.Missed = append(r.Missed, Marked{path, v})
			case !isBad && v.Alarming():
				r.False = append(r.False, Marked{path, v})
			}
		})
	}
	for _, dir := range bad {
		if err := folder(dir, func(x *Row) *Count { return &x.Bad }, true); err != nil {
			return nil, err
		}
	}
	for i, dir := range good {
		if err := folder(dir, func(x *Row) *Count { return &x.Good[i] }, false); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func uniqueNames(v hygiene.Verdict) []string {
	var out []string
	for _, c := range v.Checks {
		if !slices.Contains(out, c.Name) {
			out = append(out, c.Name)
		}
	}
	return out
}

func (r *Report) walk(ctx context.Context, e *hygiene.Engine, o mail.Options, dir string, f func(string, hygiene.Verdict)) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		value, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading message: %w", err)
		}
		if !mail.IsMessage(value) {
			r.Skipped++
			return nil
		}
		start := time.Now()
		raw, del, _, err := mail.Unwrap(value)
		if err != nil {
			r.Skipped++
			return nil
		}
		v := e.Check(ctx, mail.Decode(raw, del, o))
		r.Slowest = max(r.Slowest, time.Since(start))
		f(path, v)
		return nil
	})
}

// WriteText writes the table for people to read.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	fmt.Fprint(t, "check\tpoints\tcaught\t")
	for _, g := range r.Good {
		fmt.Fprintf(t, "false, %s\t", filepath.Base(g))
	}
	fmt.Fprintln(t)
	row := func(x Row, points string) {
		fmt.Fprintf(t, "%s\t%s\t%s\t", x.Name, points, x.Bad)
		for _, g := range x.Good {
			fmt.Fprintf(t, "%s\t", g)
		}
		fmt.Fprintln(t)
	}
	for _, x := range r.Checks {
		row(x, strconv.Itoa(x.Points))
	}
	row(r.BadRow, "")
	row(r.Suspect, "")
	fmt.Fprintf(t, "\nshares with their 95%% Wilson intervals; slowest message %v; %d files were no messages\n", r.Slowest.Round(time.Millisecond), r.Skipped)
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}
