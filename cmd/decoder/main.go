// Command decoder is Decoder Ring: network, host and mail monitoring in one
// program. This package knows flags, signals, what is printed and exit codes;
// everything else is internal/app's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/decodersring/decoder/internal/app"
	"github.com/decodersring/decoder/internal/config"
)

// version is set by the build.
var version = "dev"

// Exit codes, the same for every command.
const (
	exitDone   = 0
	exitFailed = 1 // done with failures named, or nothing could be done
	exitUsage  = 2 // wrong usage or configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// streams is where a command reads and writes: results on out, progress, logs
// and summaries on err when out is for machines.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, io streams) int {
	var root cli
	code, exited := exitDone, false
	parser, err := kong.New(&root,
		kong.Name("decoder"),
		kong.Description("Watches a network, hosts and mail for malware, scams and misuse."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Writers(io.out, io.err),
		kong.Exit(func(c int) { code, exited = c, true }),
		kong.Vars{"data_default": app.DefaultDataDir()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(io),
	)
	if err != nil {
		panic(err) // the commands' declaration is wrong
	}
	parsed, err := parser.Parse(args)
	if exited { // --help
		return code
	}
	if err != nil {
		fmt.Fprintf(io.err, "decoder: %v\n%s --help says how it is used\n", err, named(err))
		return exitUsage
	}
	return exitCode(io.err, parsed.Run(&root.globals, commandName(parsed.Command())))
}

// named is the command that was used wrongly, as far as it is known.
func named(err error) string {
	if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context.Selected() != nil {
		return e.Context.Selected().FullPath()
	}
	return "decoder"
}

// errNamed is returned by a command that has already said what failed.
var errNamed = errors.New("some of it failed")

// usageError is a mistake of the caller's.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError is an exit code whose reason has been printed.
type exitError int

func (e exitError) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// commandName is the command as it was parsed, "alerts archive <id>".
type commandName string

// last returns the last word of the command, without its arguments.
func (c commandName) last() string {
	name := ""
	for word := range strings.FieldsSeq(string(c)) {
		if !strings.HasPrefix(word, "<") {
			name = word
		}
	}
	return name
}

// exitCode prints what went wrong and returns the status that says so.
func exitCode(stderr io.Writer, err error) int {
	if e, ok := errors.AsType[workerExit](err); ok {
		return app.WorkerExit(exitCode(stderr, e.err), e.ready)
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return int(e)
	}
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errNamed) {
		return exitFailed
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintln(stderr, problems)
		return exitUsage
	}
	fmt.Fprintf(stderr, "decoder: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}
