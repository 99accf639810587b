package api

import (
	"net"
	"net/http"
	"os"
	"strings"
)

// hosts are the names by which this server may be called.
type hosts map[string]bool

func newHosts(more []string) hosts {
	h := hosts{"localhost": true}
	if name, err := os.Hostname(); err == nil {
		h[strings.ToLower(name)] = true
		h[strings.ToLower(name)+".local"] = true
	}
	for _, name := range more {
		h[strings.ToLower(strings.TrimSuffix(name, "."))] = true
	}
	return h
}

// checked refuses requests for a name that is not ours. DNS rebinding makes a
// browser send a stranger's name to our address; it cannot send an address or
// a name of ours.
func (h hosts) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.ours(r.Host) {
			plain(w, http.StatusMisdirectedRequest, "This server does not answer to that name. Use its address, or add the name to page.hosts in the configuration.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h hosts) ours(host string) bool {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	return net.ParseIP(name) != nil || h[name] || strings.HasSuffix(name, ".localhost")
}

// policy allows the page its own files and nothing else: no inline script, no
// frame, no other host. Styles may be set from script (a bar's width), not
// loaded from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; " +
	"img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html"

// hardened adds the headers that tell a browser to be strict.
func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), usb=()")
		next.ServeHTTP(w, r)
	})
}
