// Command bench measures the program beside its peers, in one run on one
// machine, and prints ratios. It is a module of its own, so that what the
// peers need is not among what the product needs.
//
// Without arguments it runs every section, else those named. -short runs each
// with less data; -peers leaves out peers of the log.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"text/tabwriter"
)

// section is one group of measurements.
type section struct {
	name  string
	about string
	run   func(context.Context, *report) error
}

// sections is every section, in the order in which they run.
func sections() []section {
	return []section{logSection(), decodeSection(), mailSection(), storeSection(), pipelineSection(), latencySection(), clientSection()}
}

// report collects what a section measured.
type report struct {
	short bool   // less data, for a quick look
	peers string // only peers whose name begins so; "": all
	rows  [][4]string
}

// add notes one figure of ours beside a peer's, with the aim if there is one.
func (r *report) add(what, ours, peer, ratio string) {
	r.rows = append(r.rows, [4]string{what, ours, peer, ratio})
}

func (r *report) print(s section) {
	fmt.Printf("\n## %s: %s\n\n", s.name, s.about)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tOURS\tPEER OR AIM\tRATIO")
	for _, row := range r.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row[0], row[1], row[2], row[3])
	}
	_ = w.Flush()
}

func main() {
	if serveLog() { // a child of the log's section
		return
	}
	short := flag.Bool("short", false, "less data, for a quick look")
	peers := flag.String("peers", "", "of the log's peers only those whose name begins so")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed := false
	for _, s := range sections() {
		if flag.NArg() > 0 && !slices.Contains(flag.Args(), s.name) {
			continue
		}
		r := &report{short: *short, peers: *peers}
		if err := s.run(ctx, r); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			failed = true
		}
		r.print(s)
	}
	if failed {
		os.Exit(1)
	}
}
