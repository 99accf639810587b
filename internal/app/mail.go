package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/hygiene/auth"
	"github.com/decodersring/decoder/internal/hygiene/history"
	"github.com/decodersring/decoder/internal/hygiene/reputation"
	"github.com/decodersring/decoder/internal/intel"
	"github.com/decodersring/decoder/internal/source/imap"
	"github.com/decodersring/decoder/internal/source/maildir"
	"github.com/decodersring/decoder/internal/source/milter"
	"github.com/decodersring/decoder/internal/source/smtp"
	hygienestage "github.com/decodersring/decoder/internal/stage/hygiene"
	"github.com/decodersring/decoder/internal/stage/jsonify"
	"github.com/decodersring/decoder/internal/stage/maillink"
)

// MailConfig is how mail gets in and is judged. Its zero value judges what any
// producer puts on email_ingest.
type MailConfig struct {
	Own      []string        `yaml:"own"`      // own domains
	Border   MailBorder      `yaml:"border"`   // the hosts that take mail from outside
	Body     config.Size     `yaml:"body"`     // of a message's text kept in the log, 64KiB; 0B none
	Auth     string          `yaml:"auth"`     // header: the border's results alone; dns: computed where they lack
	Resolver string          `yaml:"resolver"` // host:port asked for auth: dns; the system's
	Lists    string          `yaml:"lists"`    // folder of lists and scores that override those that ship
	Feeds    []string        `yaml:"feeds"`    // files and folders of indicators; DATA/intel
	Keep     MailKeep        `yaml:"keep"`
	Share    MailShare       `yaml:"share"`
	Services []MailService   `yaml:"services"` // outside reputation services
	Deadline config.Duration `yaml:"deadline"` // for all services together, 5s
	Recheck  config.Duration `yaml:"recheck"`  // wait before an incomplete verdict is checked again, 10m

	IMAP    []IMAPConfig `yaml:"imap"`
	Receive []SMTPConfig `yaml:"receive"` // SMTP and LMTP
	Milter  MilterConfig `yaml:"milter"`
	Watch   []string     `yaml:"watch"` // Maildirs and mbox files
}

// MailBorder is what is one's own on a message's way.
type MailBorder struct {
	Names     []string `yaml:"names"`     // of border hosts, as in "by" and as authserv-id
	Networks  []Prefix `yaml:"networks"`  // own networks
	Microsoft bool     `yaml:"microsoft"` // believe Exchange Online's results
}

// MailKeep is what stands in verdicts and alerts.
type MailKeep struct {
	Subject    bool `yaml:"subject"`
	Recipients bool `yaml:"recipients"`
	Links      bool `yaml:"links"` // whole links in every verdict, not in alerts alone
}

// MailShare is what services are told beside addresses, domains and hashes.
type MailShare struct {
	Links     bool `yaml:"links"`
	Addresses bool `yaml:"addresses"` // of senders; recipients never
}

// MailService is an outside service.
type MailService struct {
	Type string        `yaml:"type"` // abuseipdb, urlhaus, threatfox, virustotal, safebrowsing, spamhaus, dnsbl, rspamd, http
	Name string        `yaml:"name"` // of a dnsbl or http service
	Key  config.Secret `yaml:"key"`
	URL  string        `yaml:"url"`  // other than the service's own; of an http service
	Zone string        `yaml:"zone"` // of a dnsbl
	Kind string        `yaml:"kind"` // of a dnsbl: ip or domain
	From float64       `yaml:"from"` // score from which an answer is bad

	Rate    float64         `yaml:"rate"`    // calls a second, 10
	Quota   int             `yaml:"quota"`   // calls a day
	Timeout config.Duration `yaml:"timeout"` // of one call, 2s

	Kinds    []string          `yaml:"kinds"` // of an http service: ip, domain, url, sha256, email
	Method   string            `yaml:"method"`
	Headers  map[string]string `yaml:"headers"`
	Body     string            `yaml:"body"`
	OK       []int             `yaml:"ok"`
	NotFound []int             `yaml:"not_found"`
	Error    string            `yaml:"error"` // JSON Pointers from here on
	ErrorOK  []string          `yaml:"error_ok"`
	Verdict  string            `yaml:"verdict"`
	Bad      []string          `yaml:"bad"`
	Clean    []string          `yaml:"clean"`
	Score    string            `yaml:"score"`
	Scale    float64           `yaml:"scale"`
	Detail   string            `yaml:"detail"`
}

// IMAPConfig is an account.
type IMAPConfig struct {
	Name         string          `yaml:"name"`
	Server       string          `yaml:"server"` // imaps://host or imap://host
	Insecure     bool            `yaml:"insecure"`
	User         string          `yaml:"user"`
	PasswordFile string          `yaml:"password_file"`
	Mailboxes    []string        `yaml:"mailboxes"`
	Poll         config.Duration `yaml:"poll"`
}

// SMTPConfig is a receiver.
type SMTPConfig struct {
	Listen    string   `yaml:"listen"`    // smtp://, lmtp://host:port or lmtp:///path
	From      []Prefix `yaml:"from"`      // who may deliver; loopback
	Delivered bool     `yaml:"delivered"` // the peer is the sending host, not one's own server
}

// MilterConfig is the milter; it runs when it has an address.
type MilterConfig struct {
	Listen string `yaml:"listen"` // tcp://host:port or unix:///path
	Hold   bool   `yaml:"hold"`   // 4xx when the log does not acknowledge
}

// Validate checks what can be told without starting.
func (c MailConfig) Validate() error {
	errs := []error{oneOf("auth", c.Auth, "", "header", "dns")}
	for _, s := range c.Services {
		if _, err := providersOf(s, nil); err != nil {
			errs = append(errs, config.Fieldf("services", "%v", err))
		}
	}
	return errors.Join(errs...)
}

func defaultMail() MailConfig {
	return MailConfig{Body: jsonify.DefaultBody, Auth: "header", Keep: MailKeep{Subject: true, Recipients: true}}
}

// MailOptions returns how messages are decoded.
func (c MailConfig) MailOptions() mail.Options {
	return mail.Options{Border: c.border(), Own: c.Own}
}

func (c MailConfig) border() mail.Border {
	b := mail.Border{Names: c.Border.Names, Microsoft: c.Border.Microsoft}
	for _, p := range c.Border.Networks {
		b.Networks = append(b.Networks, p.Prefix)
	}
	return b
}

func (c MailConfig) keep() hygiene.Keep {
	return hygiene.Keep{NoSubject: !c.Keep.Subject, NoRecipients: !c.Keep.Recipients, LinksAlways: c.Keep.Links}
}

// jsonify returns how messages are read, without the DNS.
func (c MailConfig) jsonify() jsonify.Config {
	jc := jsonify.Config{Border: c.border(), Own: c.Own, Body: int(c.Body)}
	if c.Body == 0 {
		jc.Body = -1
	}
	return jc
}

// Engine returns the checks as configured, without services and history: what
// "mail check" uses.
func (c MailConfig) Engine(disabled ...string) (*hygiene.Engine, error) {
	lists, err := hygiene.Load(c.Lists)
	if err != nil {
		return nil, fmt.Errorf("loading the lists of mail.lists: %w", err)
	}
	return hygiene.New(hygiene.Config{Own: c.Own, Disabled: disabled}, lists, nil, nil), nil
}

// Names of the clients of mail.
const (
	clientJsonify  = "jsonify"
	clientHygiene  = "hygiene"
	clientRecheck  = "recheck"
	clientMaillink = "maillink"
)

// mailSpecs returns the stages of mail and starts what they lean on.
func (a *App) mailSpecs(ctx context.Context) ([]client.Spec, error) {
	c := a.options.Config.Mail
	engine, err := a.mailEngine(ctx, c)
	if err != nil {
		return nil, err
	}
	jc := c.jsonify()
	read := client.Spec{Name: clientJsonify, Inputs: []string{bus.TopicEmail}, Outputs: []string{bus.TopicJsonified}}
	if c.Auth == "dns" {
		jc.Auth = auth.New(a.mailResolver(), 0)
		read.Concurrency, read.Window = hygienestage.Concurrency, hygienestage.Window
	}
	read.Stage = jsonify.New(jc, a.scope(clientJsonify))
	judge := hygienestage.New(engine, c.keep(), a.scope(clientHygiene))
	link := maillink.New(maillink.Config{}, a.bus, a.scope(clientMaillink))
	a.life.start(clientMaillink+" watch", link.Run)
	out := []string{bus.TopicEvents, bus.TopicEmailAlert, bus.TopicRecheck}
	return []client.Spec{
		read,
		{
			Name: clientHygiene, Inputs: []string{bus.TopicJsonified}, Outputs: out, Stage: judge,
			Concurrency: hygienestage.Concurrency, Window: hygienestage.Window,
		},
		{Name: clientRecheck, Inputs: []string{bus.TopicRecheck}, Outputs: out, Stage: hygienestage.NewRecheck(judge, time.Duration(c.Recheck), 0)},
		{Name: clientMaillink, Inputs: []string{bus.TopicEvents}, Outputs: []string{bus.TopicAlerts}, Stage: link, InFlight: 4 << 20},
	}, nil
}

func (a *App) mailResolver() auth.Resolver {
	if r := a.options.Config.Mail.Resolver; r != "" {
		return auth.NewResolver(r)
	}
	return nil
}

func (a *App) mailEngine(ctx context.Context, c MailConfig) (*hygiene.Engine, error) {
	lists, err := hygiene.Load(c.Lists)
	if err != nil {
		return nil, fmt.Errorf("loading the lists of mail.lists: %w", err)
	}
	paths := c.Feeds
	if len(paths) == 0 {
		paths = []string{a.path("intel")} // whatever is put there is used
		if err := os.MkdirAll(paths[0], 0o700); err != nil {
			return nil, fmt.Errorf("making the folder of indicator feeds: %w", err)
		}
	}
	feeds := intel.NewFeeds(intel.Config{Paths: paths}, a.scope("intel"))
	a.life.start("intel", feeds.Run)
	var asked []reputation.Asked
	for _, s := range c.Services {
		providers, err := providersOf(s, a.rawMessage)
		if err != nil {
			return nil, err
		}
		for _, p := range providers {
			asked = append(asked, reputation.Asked{Provider: p, Limits: reputation.Limits{
				Rate: s.Rate, Quota: s.Quota, Timeout: time.Duration(s.Timeout),
			}})
		}
	}
	services, err := reputation.New(reputation.Privacy{URLs: c.Share.Links, Emails: c.Share.Addresses, Own: c.Own}, asked, feeds.Index, a.scope("reputation"))
	if err != nil {
		return nil, err
	}
	if len(asked) > 0 {
		db, err := a.openDB(ctx, reputation.Schema())
		if err != nil {
			return nil, err
		}
		if err := services.Restore(ctx, db); err != nil {
			return nil, err
		}
		a.life.start("services", services.Run)
	}
	a.services = mailServices{services}
	past, err := history.New(history.Config{Path: a.path("mail", "history.json"), Own: c.Own}, a.scope("mail history"))
	if err != nil {
		return nil, err
	}
	a.life.start("mail history", past.Run)
	return hygiene.New(hygiene.Config{Own: c.Own, Deadline: time.Duration(c.Deadline)}, lists, services, past), nil
}

// mailServices tells the API how services stand.
type mailServices struct{ of *reputation.Services }

// Services implements api.Services.
func (m mailServices) Services(context.Context) ([]api.Service, error) {
	var all []api.Service
	for _, s := range m.of.Status() {
		one := api.Service{Name: s.Provider, Breaker: s.Breaker, Spent: s.Spent, Quota: s.Quota, Cached: s.Cached}
		for _, k := range s.Kinds {
			one.Kinds = append(one.Kinds, string(k))
		}
		if s.Paused > 0 {
			one.Paused = time.Now().UTC().Add(s.Paused)
		}
		all = append(all, one)
	}
	return all, nil
}

// providersOf returns what a service's entry describes.
func providersOf(s MailService, raw reputation.Fetch) ([]reputation.Provider, error) {
	one := func(p reputation.Provider, err error) ([]reputation.Provider, error) {
		return []reputation.Provider{p}, err
	}
	switch s.Type {
	case "abuseipdb":
		return one(reputation.AbuseIPDB(s.URL, s.Key, int(s.From)), nil)
	case "urlhaus":
		return one(reputation.URLhaus(s.URL, s.Key), nil)
	case "threatfox":
		return one(reputation.ThreatFox(s.URL, s.Key, int(s.From)), nil)
	case "virustotal":
		return one(reputation.VirusTotal(s.URL, s.Key, int(s.From)), nil)
	case "safebrowsing":
		return one(reputation.SafeBrowsing(s.URL, s.Key), nil)
	case "spamhaus":
		return reputation.SpamhausDQS(s.Key, nil), nil
	case "dnsbl":
		return one(reputation.DNSBL(reputation.DNSBLConfig{Name: s.Name, Zone: s.Zone, Kind: reputation.Kind(s.Kind), Key: s.Key}, nil))
	case "rspamd":
		return one(reputation.Rspamd(s.URL, s.Key, raw), nil)
	case "http":
		kinds := make([]reputation.Kind, len(s.Kinds))
		for i, k := range s.Kinds {
			if !slices.Contains([]string{"ip", "domain", "url", "sha256", "email"}, k) {
				return nil, fmt.Errorf("service %s: there is no kind %q", s.Name, k)
			}
			kinds[i] = reputation.Kind(k)
		}
		return one(reputation.HTTP(reputation.HTTPConfig{
			Name: s.Name, Kinds: kinds, Method: s.Method, URL: s.URL, Headers: s.Headers, Body: s.Body, Key: s.Key,
			OK: s.OK, NotFound: s.NotFound, Error: s.Error, ErrorOK: s.ErrorOK, Verdict: s.Verdict, Bad: s.Bad,
			Clean: s.Clean, Score: s.Score, From: s.From, Scale: s.Scale, Detail: s.Detail,
		}))
	}
	return nil, fmt.Errorf("there is no service of type %q", s.Type)
}

// rawMessage returns a message as it lies on the log, taken out of what it
// came wrapped in.
func (a *App) rawMessage(ctx context.Context, place string) ([]byte, error) {
	f := strings.Split(place, "/")
	if len(f) != 3 {
		return nil, fmt.Errorf("%q is no place in the log", place)
	}
	partition, err1 := strconv.ParseInt(f[1], 10, 32)
	offset, err2 := strconv.ParseInt(f[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	r, err := a.bus.At(ctx, bus.Partition{Topic: f[0], Partition: int32(partition)}, offset)
	if err != nil || r == nil {
		return nil, err
	}
	raw, _, _, err := mail.Unwrap(r.Value)
	return raw, err
}

// startMail starts the configured sources of mail.
func (a *App) startMail(context.Context) error {
	c := a.options.Config.Mail
	state := a.path("mail")
	for _, i := range c.IMAP {
		s, err := imap.New(imap.Config{
			Name: i.Name, Server: i.Server, Insecure: i.Insecure, User: i.User, PasswordFile: i.PasswordFile,
			Mailboxes: i.Mailboxes, Poll: time.Duration(i.Poll), StateDir: state,
		}, a.bus, a.scope("imap"))
		if err != nil {
			return fmt.Errorf("mail.imap %s: %w", i.Name, err)
		}
		a.life.start("imap "+i.Name, s.Run)
	}
	for _, r := range c.Receive {
		sc := smtp.Config{Listen: r.Listen, Delivered: r.Delivered}
		for _, p := range r.From {
			sc.From = append(sc.From, p.Prefix)
		}
		s, err := smtp.New(sc, a.bus, a.scope("smtp"))
		if err != nil {
			return fmt.Errorf("mail.receive: %w", err)
		}
		a.life.start("receive "+r.Listen, s.Run)
	}
	if c.Milter.Listen != "" {
		s, err := milter.New(milter.Config{Listen: c.Milter.Listen, Hold: c.Milter.Hold}, a.bus, a.scope("milter"))
		if err != nil {
			return fmt.Errorf("mail.milter: %w", err)
		}
		a.life.start("milter", s.Run)
	}
	if len(c.Watch) > 0 {
		s, err := maildir.New(maildir.Config{Paths: c.Watch, StateDir: state}, a.bus, a.scope("maildir"))
		if err != nil {
			return fmt.Errorf("mail.watch: %w", err)
		}
		a.life.start("maildir", s.Run)
	}
	return nil
}
