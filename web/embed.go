// Package web is the browser UI: its sources, and their embedding into the
// program. It knows only the API.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// files holds what the build left, each file compressed; before the first
// build only the placeholder.
//
//go:embed dist
var files embed.FS

const (
	index       = "index.html"
	placeholder = "placeholder.html"
)

// asset is one file as it is served.
type asset struct {
	gz, plain []byte // the same; gz may be nil
	kind, tag string
	forever   bool // its name has a hash of its content
}

// Handler serves the UI. Every path that is no file is the page itself, which
// finds its state in the URL.
func Handler() (http.Handler, error) {
	assets := map[string]asset{}
	err := fs.WalkDir(files, "dist", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		a, name, err := load(p)
		if err == nil {
			assets[name] = a
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the UI: %w", err)
	}
	page, built := assets[index]
	if !built {
		page = assets[placeholder]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		a, ok := assets[name]
		if !ok && name != "" && strings.Contains(path.Base(name), ".") {
			http.NotFound(w, r)
			return
		}
		if !ok {
			a = page
		}
		a.serve(w, r)
	}), nil
}

func load(p string) (a asset, name string, err error) {
	b, err := files.ReadFile(p)
	if err != nil {
		return a, "", err
	}
	name, compressed := strings.CutSuffix(strings.TrimPrefix(p, "dist/"), ".gz")
	a.plain = b
	if compressed {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return a, "", err
		}
		if a.plain, err = io.ReadAll(z); err != nil {
			return a, "", err
		}
		a.gz = b
	}
	sum := sha256.Sum256(b)
	a.tag = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	a.kind = mime.TypeByExtension(path.Ext(name))
	a.forever = strings.HasPrefix(name, "assets/")
	return a, name, nil
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	if a.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	content := a.plain
	tag := a.tag
	if a.gz != nil && acceptsGzip(r) {
		content = a.gz
		h.Set("Content-Encoding", "gzip")
	} else {
		tag = strings.TrimSuffix(tag, `"`) + `-plain"`
	}
	h.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if coding == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
