package notify

import (
	"errors"
	"net/http"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/decodersring/decoder/internal/config"
)

// Config is one destination. Exactly one of Mail, Webhook, Slack and Ntfy says
// which.
type Config struct {
	Name     string          `yaml:"name"`
	Severity string          `yaml:"severity"` // the lowest told of: low, medium, high, critical; "": high
	Kinds    []string        `yaml:"kinds"`    // network, host, mail, pipeline; none: all
	Every    config.Duration `yaml:"every"`    // least time between two messages; 0: 1 min
	Again    config.Duration `yaml:"again"`    // a group told of is not told of again for so long, unless it became worse; 0: 24 h

	Mail    *Mail    `yaml:"mail"`
	Webhook *Webhook `yaml:"webhook"`
	Slack   *Slack   `yaml:"slack"`
	Ntfy    *Ntfy    `yaml:"ntfy"`

	CA       string `yaml:"ca"`       // file of PEM certificates; the system's when empty
	Insecure bool   `yaml:"insecure"` // without TLS to another machine
}

// Mail is a server that takes mail, and who gets it.
type Mail struct {
	Server   string        `yaml:"server"` // smtp://host:587 with STARTTLS, smtps://host:465
	User     string        `yaml:"user"`
	Password config.Secret `yaml:"password"`
	From     string        `yaml:"from"`
	To       []string      `yaml:"to"`
}

// Webhook is an address that takes JSON.
type Webhook struct {
	URL     config.Secret            `yaml:"url"`
	Secret  config.Secret            `yaml:"secret"` // signs the body: HMAC-SHA256, RFC 2104
	Headers map[string]config.Secret `yaml:"headers"`
}

// Slack is an incoming webhook.
type Slack struct {
	URL config.Secret `yaml:"url"`
}

// Ntfy is a topic of an ntfy server.
type Ntfy struct {
	URL   config.Secret `yaml:"url"`
	Token config.Secret `yaml:"token"`
}

// Kinds of destination.
const (
	kindMail    = "mail"
	kindWebhook = "webhook"
	kindSlack   = "slack"
	kindNtfy    = "ntfy"
)

// severities in their order; 0 is none.
var severities = []string{"", "low", "medium", "high", "critical"}

var (
	alertKinds = []string{"network", "host", "mail", "pipeline"}
	names      = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,60}$`)
)

func (c Config) withDefaults() Config {
	if c.Severity == "" {
		c.Severity = "high"
	}
	if c.Every == 0 {
		c.Every = config.Duration(time.Minute)
	}
	if c.Again == 0 {
		c.Again = config.Duration(24 * time.Hour)
	}
	return c
}

// Prefix begins the names of the destinations' clients.
const Prefix = "notify-"

// Client returns the name of the destination's client.
func (c Config) Client() string { return Prefix + c.Name }

// kind returns which kind of destination it is, "" unless exactly one is set.
func (c Config) kind() string {
	kind, n := "", 0
	for name, set := range map[string]bool{kindMail: c.Mail != nil, kindWebhook: c.Webhook != nil, kindSlack: c.Slack != nil, kindNtfy: c.Ntfy != nil} {
		if set {
			kind, n = name, n+1
		}
	}
	if n != 1 {
		return ""
	}
	return kind
}

// Validate reports every mistake.
func (c Config) Validate() error {
	var errs []error
	field := func(wrong bool, name, format string, args ...any) {
		if wrong {
			errs = append(errs, config.Fieldf(name, format, args...))
		}
	}
	field(!names.MatchString(c.Name), "name", "want lower-case letters, digits, and _ - within")
	field(!slices.Contains(severities, c.Severity), "severity", "want low, medium, high or critical")
	for _, k := range c.Kinds {
		field(!slices.Contains(alertKinds, k), "kinds", "%q is none of %q", k, alertKinds)
	}
	kind := c.kind()
	field(kind == "", "name", "want exactly one of mail, webhook, slack and ntfy")
	switch kind {
	case kindMail:
		errs = append(errs, c.validateMail())
	case kindWebhook:
		errs = append(errs, c.validateURL(kindWebhook, c.Webhook.URL))
		for name, value := range c.Webhook.Headers {
			own := slices.Contains([]string{"Content-Type", "Host", headerSignature, headerKey}, http.CanonicalHeaderKey(name))
			field(!headerName.MatchString(name) || own, kindWebhook, "headers: %q cannot be set", name)
			field(!line(value), kindWebhook, "headers: %q: want one line", name)
		}
	case kindSlack:
		errs = append(errs, c.validateURL(kindSlack, c.Slack.URL))
	case kindNtfy:
		errs = append(errs, c.validateURL(kindNtfy, c.Ntfy.URL))
		field(!line(c.Ntfy.Token), kindNtfy, "token: want one line")
	}
	return errors.Join(errs...)
}

// line reports whether a header can have the value.
func line(value config.Secret) bool {
	return strings.IndexFunc(value.Reveal(), unicode.IsControl) < 0
}

func (c Config) validateMail() error {
	m := c.Mail
	_, err := m.parse()
	switch {
	case err != nil:
		return config.Fieldf(kindMail, "server: %v", err)
	case (m.User == "") != (m.Password.Reveal() == ""):
		return config.Fieldf(kindMail, "want user and password together")
	case len(m.To) == 0:
		return config.Fieldf(kindMail, "to: want at least one address")
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		return config.Fieldf(kindMail, "from: %q is no address", m.From)
	}
	for _, address := range m.To {
		if _, err := mail.ParseAddress(address); err != nil {
			return config.Fieldf(kindMail, "to: %q is no address", address)
		}
	}
	return nil
}

// server is where mail is handed in.
type server struct {
	host, port string
	tls        bool // from the first byte; else by STARTTLS, unless plain
	plain      bool
}

var errServer = errors.New("want smtp://host or smtps://host, with a port or without")

func (m Mail) parse() (server, error) {
	u, err := url.Parse(m.Server)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" {
		return server{}, errServer
	}
	s := server{host: u.Hostname(), port: u.Port(), tls: u.Scheme == "smtps"}
	if s.port == "" {
		s.port = map[bool]string{true: "465", false: "587"}[s.tls]
	}
	return s, nil
}

// validateURL never quotes the URL: it may be all that keeps others out.
func (c Config) validateURL(kind string, secret config.Secret) error {
	u, err := url.Parse(secret.Reveal())
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return config.Fieldf(kind, "url: want https://host/path")
	case u.User != nil || u.Fragment != "":
		return config.Fieldf(kind, "url: want neither a user nor a fragment in it")
	case u.Scheme == "http" && !loopback(u.Hostname()) && !c.Insecure:
		return config.Fieldf(kind, "url: want https, or insecure: true if everybody on the way may read it")
	case kind == kindNtfy && (u.Path == "" || u.Path == "/"):
		return config.Fieldf(kind, "url: want the topic in it, https://ntfy.sh/topic")
	}
	return nil
}

// loopback reports whether the host is this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
