package rules

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// joined writes a list of the folder with the configuration's matchers to out.
func (s *Set) joined(name string, matchers []string, out string) (string, error) {
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		return "", fmt.Errorf("merging rules: %w", err)
	}
	to := filepath.Join(out, name)
	text := string(b) + "\n" + strings.Join(matchers, "\n") + "\n"
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("merging rules: %w", err)
	}
	return to, nil
}

// address makes of a source what suricata-update takes: a path becomes a
// file:// address, and a gzipped rule file is unpacked.
func (s *Set) address(source, out string) (string, error) {
	path, isFile := strings.CutPrefix(source, "file://")
	if !isFile && !filepath.IsAbs(source) {
		if !strings.Contains(source, "://") {
			return "", fmt.Errorf("rule source %q is not known: use %s, an address or a path", source, EmergingThreatsOpen)
		}
		return source, nil
	}
	path, err := plain(path, out)
	return "file://" + path, err
}

// plain returns the path of a rule file that is not gzipped, since
// suricata-update reads gzip only around tar.
func plain(path, out string) (string, error) {
	if !strings.HasSuffix(path, ".rules.gz") {
		return path, nil
	}
	in, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("unpacking rules: %w", err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		return "", fmt.Errorf("unpacking rules %s: %w", path, err)
	}
	to := filepath.Join(out, strings.TrimSuffix(filepath.Base(path), ".gz"))
	f, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("unpacking rules: %w", err)
	}
	n, err := io.Copy(f, io.LimitReader(z, largestUnpacked))
	if err == nil && n == largestUnpacked {
		err = fmt.Errorf("it is over %d bytes", largestUnpacked)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("unpacking rules %s: %w", path, err)
	}
	return to, nil
}

const largestUnpacked = 1 << 30
