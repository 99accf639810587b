package suricata

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/proc"
)

// Binary is an installed engine.
type Binary struct {
	Path    string
	Version string // "7.0.10"
	Major   int
}

var versionLine = regexp.MustCompile(`Suricata version ((\d+)\.\d+(?:\.\d+)?[^ ]*)`)

// OldestMajor is the oldest major version the generated configuration fits.
const OldestMajor = 7

// Find looks for the engine in PATH and asks its version. It fails when there
// is none or it is older than OldestMajor.
func Find(ctx context.Context) (Binary, error) {
	path, err := proc.LookPath("suricata")
	if err != nil {
		return Binary{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := proc.Run(ctx, proc.Command{Path: path, Args: []string{"-V"}})
	if err != nil {
		return Binary{}, fmt.Errorf("asking suricata for its version: %w", err)
	}
	m := versionLine.FindStringSubmatch(out)
	if m == nil {
		return Binary{}, fmt.Errorf("asking suricata for its version: unexpected answer %q", strings.TrimSpace(out))
	}
	b := Binary{Path: path, Version: m[1]}
	b.Major, _ = strconv.Atoi(m[2])
	if b.Major < OldestMajor {
		return b, fmt.Errorf("suricata %s is too old: version %d or later is needed", b.Version, OldestMajor)
	}
	return b, nil
}

// DefaultFiles returns the classification and reference files that come with
// the engine, each "" when it is not there.
func DefaultFiles() (classification, reference string) {
	find := func(name string) string {
		for _, dir := range []string{"/etc/suricata", "/usr/local/etc/suricata", "/usr/share/suricata"} {
			if path := filepath.Join(dir, name); readable(path) {
				return path
			}
		}
		return ""
	}
	return find("classification.config"), find("reference.config")
}

func readable(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
