package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/sink/elastic"
	"github.com/decodersring/decoder/internal/sink/notify"
	"github.com/decodersring/decoder/internal/stage/custom"
)

// Config is everything a user may set. The zero value is completed by
// [DefaultConfig]; no file is needed.
type Config struct {
	Listen config.Address `yaml:"listen"`
	Page   PageConfig     `yaml:"page"`

	Metrics MetricsConfig `yaml:"metrics"`
	Log     LogConfig     `yaml:"log"`
	Sensor  SensorConfig  `yaml:"sensor"`
	Rules   RulesConfig   `yaml:"rules"`
	Bus     BusConfig     `yaml:"bus"`
	Disk    DiskConfig    `yaml:"disk"`
	Store   StoreConfig   `yaml:"store"`
	Mail    MailConfig    `yaml:"mail"`
	// Elastic is the cluster that events and alerts are put into besides.
	Elastic elastic.Config `yaml:"elastic"`

	Stages []custom.Config `yaml:"stages"` // a user's own
	Notify []notify.Config `yaml:"notify"` // who is told of alerts, and how
}

// MetricsConfig is where tools ask for metrics and health without a sign-in.
type MetricsConfig struct {
	Listen config.Address `yaml:"listen"` // nowhere
}

// PageConfig is how browsers reach the page and the API.
type PageConfig struct {
	URL   string   `yaml:"url"`   // the page's address as people call it, for links in messages
	Hosts []string `yaml:"hosts"` // names it is called by, besides addresses, localhost and this machine's
	Cert  string   `yaml:"cert"`  // file of the certificate, for listen: https://…
	Key   string   `yaml:"key"`   // file of its key
}

// Validate checks the page's address.
func (c PageConfig) Validate() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(c.URL) > 200 {
		return config.Fieldf("url", "want http://host:port or https://host:port")
	}
	return nil
}

// LogConfig is how the program reports about itself.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// SensorConfig is what watches the network.
type SensorConfig struct {
	Name      string   `yaml:"name"`      // of this sensor; the host's name
	Capture   bool     `yaml:"capture"`   // run a Suricata of our own on the interface
	Interface string   `yaml:"interface"` // that of the default route
	HomeNet   []Prefix `yaml:"home_net"`  // the interface's networks, else RFC 1918 and ULA
	EVE       []string `yaml:"eve"`       // eve.json files of another Suricata to tail
}

// RulesConfig is what the sensor detects with.
type RulesConfig struct {
	Sources []string `yaml:"sources"` // names or URLs as suricata-update takes them
	Files   []string `yaml:"files"`   // rule files of one's own
}

// BusConfig is where the log is: embedded unless brokers are named.
type BusConfig struct {
	Listen      config.Address         `yaml:"listen"`
	Advertise   string                 `yaml:"advertise"`  // host:port that clients are told, when it is not that of listen
	Durability  string                 `yaml:"durability"` // durable, relaxed
	Brokers     []string               `yaml:"brokers"`
	TLS         TLSConfig              `yaml:"tls"`
	SASL        SASLConfig             `yaml:"sasl"`
	Replication int                    `yaml:"replication"` // replicas of topics made on a cluster
	Topics      map[string]TopicConfig `yaml:"topics"`
}

// TopicConfig overrides what the catalogue declares.
type TopicConfig struct {
	Retention  config.Duration `yaml:"retention"`
	Partitions int             `yaml:"partitions"`
}

// TLSConfig is how a cluster and this program trust each other; of an embedded
// log that other machines reach, its own certificate.
type TLSConfig struct {
	Enabled bool   `yaml:"enabled"`
	CA      string `yaml:"ca"`   // file of PEM certificates; the system's when empty
	Cert    string `yaml:"cert"` // file of the certificate
	Key     string `yaml:"key"`  // file of its key
}

// SASLConfig signs in to a cluster.
type SASLConfig struct {
	Mechanism string        `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
	User      string        `yaml:"user"`
	Password  config.Secret `yaml:"password"`
}

// DiskConfig bounds what the data folder may take.
type DiskConfig struct {
	Budget config.Size `yaml:"budget"` // log and store together; a fifth of the free disk at first start
	Free   config.Size `yaml:"free"`   // intake stops when less is free
}

// StoreConfig is how long events stay searchable.
type StoreConfig struct {
	Retention config.Duration `yaml:"retention"` // by event time
	Captures  config.Duration `yaml:"captures"`  // replayed captures, by time since their import
}

// Prefix is a network, "10.0.0.0/8", or an address.
type Prefix struct{ netip.Prefix }

// UnmarshalText reads a network or an address.
func (p *Prefix) UnmarshalText(text []byte) error {
	if addr, err := netip.ParseAddr(string(text)); err == nil {
		p.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is no network, write 192.168.1.0/24", text)
	}
	p.Prefix = prefix.Masked()
	return nil
}

// DefaultConfig is what holds without a file.
func DefaultConfig() Config {
	return Config{
		Listen: config.Address{Scheme: "http", Host: "127.0.0.1:8470"},
		Log:    LogConfig{Level: "info", Format: "text"},
		Sensor: SensorConfig{Capture: true},
		Rules:  RulesConfig{Sources: []string{"et/open"}},
		Bus:    BusConfig{Listen: config.Address{Scheme: "tcp", Host: "127.0.0.1:9092"}, Durability: "durable"},
		Disk:   DiskConfig{Free: 1 << 30},
		Store:  StoreConfig{Retention: config.Duration(30 * 24 * time.Hour), Captures: config.Duration(365 * 24 * time.Hour)},
		Mail:   defaultMail(), Elastic: elastic.Default(),
	}
}

// ConfigFiles are where a configuration is looked for when none is named, in
// order.
func ConfigFiles(data string) []string {
	return []string{filepath.Join(data, "decoder.yml"), "/etc/decoder/decoder.yml"}
}

// LoadConfig reads the file named, or else the first of [ConfigFiles] that
// exists, over the defaults. It returns the file it read, "" if there is none.
func LoadConfig(path, data string) (Config, string, error) {
	c := DefaultConfig()
	if path == "" {
		for _, candidate := range ConfigFiles(data) {
			if _, err := os.Stat(candidate); !errors.Is(err, os.ErrNotExist) {
				path = candidate // also one that cannot be looked at: it may say something
				break
			}
		}
	}
	if path == "" {
		return c, "", nil
	}
	return c, path, config.Load(path, &c)
}

// Validate checks what only several settings together tell.
func (c Config) Validate() error {
	errs := []error{oneOf("listen", c.Listen.Scheme, "http", "https")}
	if c.Listen.Scheme == "https" && (c.Page.Cert == "" || c.Page.Key == "") {
		errs = append(errs, config.Fieldf("listen", "https needs page.cert and page.key"))
	}
	errs = append(errs, c.validateMetrics())
	taken := map[string]bool{
		clientNormalise: true, clientDetect: true, clientStore: true, clientInbox: true,
		clientJsonify: true, clientHygiene: true, clientRecheck: true, clientMaillink: true,
		clientElastic: true, "rerun": true,
	}
	for _, s := range c.Stages {
		if taken[s.Name] {
			errs = append(errs, config.Fieldf("stages", "the name %q is taken", s.Name))
		}
		if strings.HasPrefix(s.Name, notify.Prefix) {
			errs = append(errs, config.Fieldf("stages", "%s: names with %s are those of notify", s.Name, notify.Prefix))
		}
		taken[s.Name] = true
	}
	for _, n := range c.Notify {
		if taken[n.Client()] {
			errs = append(errs, config.Fieldf("notify", "the name %q is taken", n.Name))
		}
		taken[n.Client()] = true
	}
	return errors.Join(errs...)
}

func (c Config) validateMetrics() error {
	switch c.Metrics.Listen.Scheme {
	case "", "http":
		return nil
	case "https":
		if c.Page.Cert == "" || c.Page.Key == "" {
			return config.Fieldf("metrics", "https needs page.cert and page.key")
		}
		return nil
	}
	return config.Fieldf("metrics", "listen: %s is not http://HOST:PORT or https://HOST:PORT", c.Metrics.Listen)
}

// Validate checks the names of level and format.
func (c LogConfig) Validate() error {
	return errors.Join(oneOf("level", c.Level, "debug", "info", "warn", "error"), oneOf("format", c.Format, "text", "json"))
}

// Validate checks where the log is.
func (c BusConfig) Validate() error {
	errs := []error{oneOf("durability", c.Durability, "durable", "relaxed"), oneOf("listen", c.Listen.Scheme, "tcp")}
	if !c.Listen.Loopback() && (!c.TLS.Enabled || c.TLS.Cert == "") {
		errs = append(errs, config.Fieldf("listen", "other machines can reach %s, so the log needs bus.tls with enabled, cert and key", c.Listen))
	}
	for name, t := range c.Topics {
		known := func(topic bus.Topic) bool { return topic.Name == name }
		if !slices.ContainsFunc(bus.Catalogue(), known) && bus.DeadClient(name) == "" {
			errs = append(errs, config.Fieldf("topics", "there is no topic %q", name))
		}
		if t.Partitions < 0 || t.Partitions > 1000 {
			errs = append(errs, config.Fieldf("topics", "%s: partitions are 1 to 1000", name))
		}
	}
	return errors.Join(errs...)
}

// options returns what opens the log, but for where an embedded one lies and
// how much it may take.
func (c BusConfig) options() (bus.Config, error) {
	tls, err := c.TLS.tls()
	if err != nil {
		return bus.Config{}, err
	}
	topics := map[string]bus.Override{}
	for name, t := range c.Topics {
		topics[name] = bus.Override{Partitions: int32(t.Partitions), Retention: time.Duration(t.Retention)}
	}
	return bus.Config{
		Advertise: c.Advertise, Relaxed: c.Durability == "relaxed",
		Brokers: c.Brokers, TLS: tls, Replication: int16(c.Replication), Topics: topics,
		SASL: bus.SASL{Mechanism: c.SASL.Mechanism, User: c.SASL.User, Password: c.SASL.Password.Reveal()},
	}, nil
}

// Validate checks the mechanism's name.
func (c SASLConfig) Validate() error {
	return oneOf("mechanism", c.Mechanism, "", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
}

func oneOf(field, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return config.Fieldf(field, "%q is none of %q", value, allowed)
}

// tls returns the settings for connections to a cluster, nil for plain ones.
func (c TLSConfig) tls() (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	return loadTLS("bus.tls", c.CA, c.Cert, c.Key)
}

// loadTLS reads the files that a setting names: the authorities trusted, the
// system's when ca is empty, and a certificate to show.
func loadTLS(setting, ca, cert, key string) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("reading %s.ca: %w", setting, err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s.ca: %s holds no PEM certificate", setting, ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("reading %s.cert: %w", setting, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
