package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/config"
)

type mailbox struct {
	Host     string        `yaml:"host"`
	Password config.Secret `yaml:"password"`
}

func (m mailbox) Validate() error {
	if m.Host == "" {
		return config.Fieldf("host", "is required")
	}
	return nil
}

type settings struct {
	Data      string             `yaml:"data"`
	Listen    config.Address     `yaml:"listen"`
	Retention config.Duration    `yaml:"retention"`
	Budget    config.Size        `yaml:"budget"`
	Sensors   []string           `yaml:"sensors"`
	Mailboxes []mailbox          `yaml:"mailboxes"`
	Labels    map[string]string  `yaml:"labels"`
	Scores    map[string]float64 `yaml:"scores"`
	Offline   bool               `yaml:"offline"`
	Workers   int                `yaml:"workers"`
}

func TestDecodeKeepsDefaultsAndReadsEveryType(t *testing.T) {
	t.Setenv("IMAP_PASSWORD", "s3cret")
	got := settings{Retention: config.Duration(time.Hour), Workers: 2}
	err := config.Decode("decoder.yml", []byte(`
data: /srv
listen: http://127.0.0.1:8470
budget: 1.5GiB
workers:
sensors: [a, b]
labels: {site: home}
scores: {x: 0.5}
offline: true
mailboxes:
  - host: mail.example
    password: ${IMAP_PASSWORD}
`), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		Data: "/srv", Listen: config.Address{Scheme: "http", Host: "127.0.0.1:8470"},
		Retention: config.Duration(time.Hour), Budget: 3 << 29, Sensors: []string{"a", "b"},
		Mailboxes: []mailbox{{Host: "mail.example", Password: config.NewSecret("s3cret")}},
		Labels:    map[string]string{"site": "home"}, Scores: map[string]float64{"x": 0.5},
		Offline: true, Workers: 2,
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(config.Secret{})); d != "" {
		t.Error(d)
	}
}

func TestEveryProblemIsReportedAtItsPosition(t *testing.T) {
	var s settings
	err := config.Decode("decoder.yml", []byte(`
dta: /srv
retention: 3x
listen: 127.0.0.1
budget: [1]
workers: many
sensors: one
mailboxes:
  - hots: mail.example
data: /a
data: /b
`), &s)
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("got %v, want Problems", err)
	}
	want := []string{
		`decoder.yml:2:1: dta: unknown setting, did you mean "data"?`,
		`decoder.yml:3:12: retention: "3x" is no duration, write 30s, 15m, 12h, 7d or 2w`,
		`decoder.yml:4:9: listen: "127.0.0.1" is no address, write tcp://127.0.0.1:9092`,
		`decoder.yml:5:9: budget: expected a single value`,
		`decoder.yml:6:10: workers: expected a whole number`,
		`decoder.yml:7:10: sensors: expected a list`,
		`decoder.yml:9:5: mailboxes[0].hots: unknown setting, did you mean "host"?`,
		`decoder.yml:9:5: mailboxes[0].host: is required`,
		`decoder.yml:11:1: data: given twice, first in line 10`,
	}
	if d := cmp.Diff(strings.Join(want, "\n"), problems.Error()); d != "" {
		t.Error(d)
	}
}

func TestSyntaxErrorHasAPosition(t *testing.T) {
	var s settings
	err := config.Decode("decoder.yml", []byte("data: ok\nsensors: [a\nlisten: x"), &s)
	problems, ok := errors.AsType[config.Problems](err)
	if !ok || len(problems) != 1 || problems[0].Line < 2 {
		t.Fatalf("got %v, want one problem in line 2 or later", err)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := config.NewSecret("hunter2")
	dump, err := config.Print(settings{Mailboxes: []mailbox{{Host: "h", Password: s}}, Retention: config.Duration(48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	all := string(dump) + fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s)
	if strings.Contains(all, "hunter2") {
		t.Errorf("the secret shows in %s", all)
	}
	if !strings.Contains(string(dump), "retention: 2d") {
		t.Errorf("durations are not written as users write them:\n%s", dump)
	}
}

func TestPrintedConfigurationIsReadAgain(t *testing.T) {
	in := settings{
		Data: "/x", Listen: config.Address{Scheme: "tcp", Host: "[::1]:9092"}, Budget: 20 << 30, Retention: config.Duration(36 * time.Hour),
		Sensors: []string{"a"}, Mailboxes: []mailbox{}, Labels: map[string]string{"a": "b"}, Scores: map[string]float64{},
	}
	text, err := config.Print(in)
	if err != nil {
		t.Fatal(err)
	}
	var out settings
	if err := config.Decode("printed", text, &out); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if d := cmp.Diff(in, out); d != "" {
		t.Error(d)
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	f.Add("data: x\nlisten: tcp://h:1")
	f.Add("a: &a [*a]")
	f.Add("mailboxes: [{host: 1, password_file: /dev/null}]")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") {
			t.Skip() // would read whatever the fuzzer names
		}
		var s settings
		if err := config.Decode("f", []byte(text), &s); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("a problem without its position: %v", err)
		}
	})
}
