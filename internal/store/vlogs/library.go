package vlogs

import (
	"bytes"
	"flag"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
)

// library is what the storage library has once a process: flags it wants to
// have parsed, and the variable its log goes through. The first store's
// settings hold.
var library struct { //nolint:gochecknoglobals // the library's own are
	once sync.Once
	log  logWriter
}

// prepareLibrary sets the library's flags. They are on flag.CommandLine, which
// the program itself must not use; it is not parsed again when it already was.
func prepareLibrary(memory int64, log *slog.Logger) error {
	var err error
	library.once.Do(func() {
		for name, value := range map[string]string{
			"loggerLevel":         "WARN",
			"memory.allowedBytes": strconv.FormatInt(memory, 10),
		} {
			if e := flag.CommandLine.Set(name, value); e != nil {
				err = e
			}
		}
		if !flag.Parsed() {
			err = flag.CommandLine.Parse(nil)
		}
		logger.SetOutputForTests(&library.log) // the only way there is
	})
	library.log.add(log)
	return err
}

// logWriter passes the library's lines on to the stores' logs, and tells their
// guards of the line it dies with.
type logWriter struct {
	mu     sync.Mutex
	log    *slog.Logger
	guards []*guard
}

func (w *logWriter) add(log *slog.Logger) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = log
}

func (w *logWriter) watch(g *guard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.guards = append(w.guards, g)
}

func (w *logWriter) unwatch(g *guard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, o := range w.guards {
		if o == g {
			w.guards = append(w.guards[:i], w.guards[i+1:]...)
			return
		}
	}
}

// "<time>\t<level>\t<file>:<line>\t<message>"
var logLine = regexp.MustCompile(`(?s)^[^\t]*\t([a-z]+)\t([^\t]*)\t(.*)$`)

// Write takes one line, whole, as the library writes it.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	level, where, message := "error", "", string(bytes.TrimSpace(line))
	if m := logLine.FindSubmatch(line); m != nil {
		level, where, message = string(m[1]), string(m[2]), string(bytes.TrimSpace(m[3]))
	}
	log := w.log.With("library", "victorialogs", "line", where, "text", message)
	switch level {
	case "panic", "fatal":
		for _, g := range w.guards {
			g.dying(message)
		}
		log.Error("storage library ends the process")
	case "error":
		log.Error("storage library reports an error")
	default:
		if strings.Contains(message, "delete task") { // it waits for a merge, and is done later
			log.Debug("storage library warns")
			break
		}
		log.Warn("storage library warns")
	}
	return len(line), nil
}
