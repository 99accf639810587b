package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as users write it: "90s", "12h", "30d", "2w".
type Duration time.Duration

const day = 24 * time.Hour

// UnmarshalText reads a duration; days and weeks are of 24 hours.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			f, err := strconv.ParseFloat(n, 64)
			if err != nil || f < 0 || f*float64(unit) > math.MaxInt64 {
				return errDuration(s)
			}
			*d = Duration(f * float64(unit))
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return errDuration(s)
	}
	*d = Duration(v)
	return nil
}

func errDuration(s string) error {
	return fmt.Errorf("%q is no duration, write 30s, 15m, 12h, 7d or 2w", s)
}

// MarshalText writes whole days as such.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	if v := time.Duration(d); v > 0 && v%day == 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	return time.Duration(d).String()
}

// Size is a number of bytes as users write it: "512MiB", "20GiB", "1000".
type Size int64

var sizeUnits = []struct {
	name string
	n    int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

// UnmarshalText reads a size with a binary or decimal unit.
func (s *Size) UnmarshalText(text []byte) error {
	digits, unit := string(text), int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = strings.TrimSpace(n), u.n
			break
		}
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f < 0 || f*float64(unit) > math.MaxInt64/2 {
		return fmt.Errorf("%q is no size, write 512MiB or 20GiB", text)
	}
	*s = Size(f * float64(unit))
	return nil
}

// MarshalText writes the size in the largest unit that divides it.
func (s Size) MarshalText() ([]byte, error) {
	for _, u := range sizeUnits[:4] {
		if s >= Size(u.n) && int64(s)%u.n == 0 {
			return []byte(strconv.FormatInt(int64(s)/u.n, 10) + u.name), nil
		}
	}
	return []byte(strconv.FormatInt(int64(s), 10)), nil
}

// String writes the size for people, with one decimal.
func (s Size) String() string {
	for _, u := range sizeUnits[:4] {
		if s >= Size(u.n) {
			return strings.TrimSuffix(strconv.FormatFloat(float64(s)/float64(u.n), 'f', 1, 64), ".0") + " " + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + " B"
}

const redacted = "[redacted]"

// Secret is text that is never printed. "${NAME}" takes an environment
// variable.
type Secret struct{ value string }

// NewSecret wraps a secret that did not come from a file.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal returns the secret for the one call that needs it.
func (s Secret) Reveal() string { return s.value }

// UnmarshalText reads a secret or the name of a variable that holds it.
func (s *Secret) UnmarshalText(text []byte) error {
	v := string(text)
	if name, ok := strings.CutPrefix(v, "${"); ok && strings.HasSuffix(name, "}") {
		name = strings.TrimSuffix(name, "}")
		if v, ok = os.LookupEnv(name); !ok {
			return fmt.Errorf("the environment has no variable %s", name)
		}
	}
	s.value = v
	return nil
}

func (s *Secret) readFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	s.value = strings.TrimRight(string(text), "\r\n")
	return nil
}

// MarshalText says only whether there is a secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from printing the value.
func (s Secret) GoString() string { return s.String() }

// Address is where something listens: "scheme://host:port", or
// "unix:///path" for a socket.
type Address struct {
	Scheme string
	Host   string // host:port, or the path of a socket
}

// UnmarshalText reads an address and checks host and port.
func (a *Address) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Scheme == "" {
		return fmt.Errorf("%q is no address, write tcp://127.0.0.1:9092", text)
	}
	if u.Scheme == "unix" {
		if u.Path == "" {
			return errors.New("a unix address needs a path, write unix:///run/name.sock")
		}
		*a = Address{Scheme: u.Scheme, Host: u.Path}
		return nil
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return fmt.Errorf("%q has no port, write %s://%s:PORT", text, u.Scheme, u.Host)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("%q is no port, expected 0 to 65535", port)
	}
	*a = Address{Scheme: u.Scheme, Host: net.JoinHostPort(host, strconv.FormatUint(n, 10))}
	return nil
}

// MarshalText writes the address as it is read.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (a Address) String() string {
	if a == (Address{}) {
		return ""
	}
	return a.Scheme + "://" + a.Host
}

// Loopback reports whether only this machine can reach the address.
func (a Address) Loopback() bool {
	if a.Scheme == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(a.Host)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
