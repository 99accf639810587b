package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	cookieName   = "decoder_session"
	codeSlowDown = "slow_down"
	codeInternal = "internal"
)

var errSignIn = &Error{Status: http.StatusUnauthorized, Code: "sign_in", Message: "sign in first"}

// signInEndpoint answers with a cookie, so it is not an answer.
func signInEndpoint() endpoint {
	return endpoint{in: reflect.TypeFor[SignIn](), out: reflect.TypeFor[Session](), serve: (*Server).signIn}
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	var in SignIn
	if err := read(w, r, &in); err != nil {
		return err
	}
	if s.users.db == nil {
		return Unavailable("there is no sign-in on this socket")
	}
	if !s.limits.allow(r.RemoteAddr, time.Now()) {
		s.metrics.refused.WithLabelValues("rate").Inc()
		return &Error{Status: http.StatusTooManyRequests, Code: codeSlowDown, Message: "too many attempts: wait half a minute"}
	}
	ok, err := s.users.check(r.Context(), in.User, in.Password)
	if err != nil {
		return err
	}
	if !ok {
		s.metrics.refused.WithLabelValues("password").Inc()
		s.scope.Logger().Warn("sign-in refused", "remote", r.RemoteAddr)
		return &Error{Status: http.StatusUnauthorized, Code: "wrong_password", Message: "that name and password do not match"}
	}
	s.limits.forgive(r.RemoteAddr)
	token, expires, err := s.users.begin(r.Context(), in.User)
	if err != nil {
		return err
	}
	s.scope.Logger().Info("signed in", "user", in.User, "remote", r.RemoteAddr)
	http.SetCookie(w, s.cookie(token, expires))
	return writeJSON(w, http.StatusOK, Session{User: in.User, Expires: expires})
}

func (s *Server) cookie(token string, expires time.Time) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // Secure where the API itself speaks TLS; else it listens on loopback or behind a proxy
		Name: cookieName, Value: token, Path: "/", Expires: expires,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: s.address != nil && s.address.Scheme == "https",
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}

func signOutEndpoint() endpoint {
	return endpoint{in: reflect.TypeFor[Empty](), out: reflect.TypeFor[Empty](), serve: (*Server).signOut}
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	if c, err := r.Cookie(cookieName); err == nil && s.users.db != nil {
		if err := s.users.end(r.Context(), c.Value); err != nil {
			return fmt.Errorf("ending session: %w", err)
		}
	}
	http.SetCookie(w, s.cookie("", time.Unix(0, 0)))
	return writeJSON(w, http.StatusOK, Empty{})
}

func (s *Server) session(ctx context.Context, c call, _ Empty) (Session, error) {
	cookie, err := c.Cookie(cookieName)
	if err != nil || s.users.db == nil {
		return Session{User: c.user}, nil // on the socket
	}
	return s.users.find(ctx, cookie.Value)
}

func (s *Server) setPassword(ctx context.Context, c call, in PasswordChange) (PasswordChanged, error) {
	var none PasswordChanged
	if s.users.db == nil {
		return none, Unavailable("this instance has no users")
	}
	isLocal := c.local()
	if in.User == "" {
		in.User = Admin
	}
	if !isLocal {
		if !s.limits.allow(c.RemoteAddr, time.Now()) {
			return none, &Error{Status: http.StatusTooManyRequests, Code: codeSlowDown, Message: "too many attempts: wait half a minute"}
		}
		ok, err := s.users.check(ctx, in.User, in.Current)
		if err != nil {
			return none, err
		}
		if in.User != c.user || !ok {
			return none, &Error{Status: http.StatusForbidden, Code: "wrong_password", Message: "the current password is another"}
		}
	}
	out := PasswordChanged{User: in.User}
	if in.New == "" && isLocal {
		in.New = newPassword()
		out.Password = in.New
	}
	if n := utf8.RuneCountInString(in.New); n < minPassword || n > maxPassword {
		return none, BadRequest("a password has %d to %d characters", minPassword, maxPassword)
	}
	return out, s.users.setPassword(ctx, in.User, in.New)
}

// limits slow down guessing: burst attempts at once for each address (an IPv6
// network of 64 bits counts as one) and one more each refill; for all together
// ten times that, so that many addresses do not help either.
type limits struct {
	mu   *sync.Mutex
	all  *bucket
	each map[netip.Prefix]*bucket
}

const (
	burst     = 5
	refill    = 10 * time.Second
	maxOrigin = 4096 // addresses remembered
)

type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) take(now time.Time, burst float64, refill time.Duration) bool {
	b.left = min(burst, b.left+now.Sub(b.at).Seconds()/refill.Seconds())
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func newLimits() limits {
	return limits{mu: new(sync.Mutex), all: &bucket{left: 10 * burst, at: time.Now()}, each: map[netip.Prefix]*bucket{}}
}

func originOf(remote string) netip.Prefix {
	host, _, _ := net.SplitHostPort(remote) // net/http gives host:port
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the bits fit the address
	return p
}

func (l limits) allow(remote string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := originOf(remote)
	b := l.each[from]
	if b == nil {
		if len(l.each) >= maxOrigin {
			l.forget(now)
		}
		b = &bucket{left: burst, at: now}
		l.each[from] = b
	}
	return b.take(now, burst, refill) && l.all.take(now, 10*burst, refill/10)
}

// forget drops those that have their whole burst again; if none has, all.
func (l limits) forget(now time.Time) {
	for from, b := range l.each {
		if now.Sub(b.at) > burst*refill {
			delete(l.each, from)
		}
	}
	if len(l.each) >= maxOrigin {
		clear(l.each) // the limit over all still holds
	}
}

// forgive forgets the attempts of an address after a good one.
func (l limits) forgive(remote string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.each, originOf(remote))
}
