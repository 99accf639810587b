package elastic

import (
	"errors"
	"net/url"
	"regexp"

	"github.com/decodersring/decoder/internal/config"
)

// Config is where documents go. Without a URL there is no sink.
type Config struct {
	URL      string        `yaml:"url"` // https://host:9200, a path before the API's allowed
	User     string        `yaml:"user"`
	Password config.Secret `yaml:"password"`
	APIKey   config.Secret `yaml:"api_key"` // base 64 of id:key, as Elasticsearch gives it
	CA       string        `yaml:"ca"`      // file of PEM certificates; the system's when empty
	Cert     string        `yaml:"cert"`    // file of a client certificate
	Key      string        `yaml:"key"`     // file of its key
	Prefix   string        `yaml:"prefix"`  // of the indexes' names
	Template bool          `yaml:"template"`
}

// Default is a sink's configuration but for its URL.
func Default() Config { return Config{Prefix: "decoder", Template: true} }

// An index's name is lower-case and does not begin with - or _.
var prefix = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// Validate reports every mistake.
func (c Config) Validate() error {
	var errs []error
	field := func(wrong bool, name, format string, args ...any) {
		if wrong {
			errs = append(errs, config.Fieldf(name, format, args...))
		}
	}
	if u, err := url.Parse(c.URL); c.URL != "" {
		field(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "", "url", "want http://host:port or https://host:port")
		field(err == nil && u.User != nil, "url", "the user and the password have settings of their own")
		field(err == nil && (u.RawQuery != "" || u.Fragment != ""), "url", "want nothing behind the path")
		field(err == nil && u.Scheme == "http" && (c.CA != "" || c.Cert != ""), "url", "certificates are for https")
	}
	signed := c.User != "" || c.Password.Reveal() != ""
	field(signed && c.APIKey.Reveal() != "", "api_key", "want either user and password or api_key")
	field((c.User == "") != (c.Password.Reveal() == ""), "user", "want user and password together")
	field((c.Cert == "") != (c.Key == ""), "cert", "want cert and key together")
	field(!prefix.MatchString(c.Prefix), "prefix", "want lower-case letters, digits, and . _ - within")
	return errors.Join(errs...)
}
