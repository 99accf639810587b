package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/config"
)

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	variable  = regexp.MustCompile(`\$\{(\w+)\}`)
)

func TestEveryExampleInTheDocsIsRight(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	told, err := os.ReadFile("../../docs/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(text)+string(told), -1)
	if len(blocks) < 5 {
		t.Fatalf("%d examples found, there are more", len(blocks))
	}
	for i, b := range blocks {
		for _, name := range variable.FindAllStringSubmatch(b[1], -1) {
			t.Setenv(name[1], "something")
		}
		c := DefaultConfig()
		if err := config.Decode(fmt.Sprintf("example %d", i+1), []byte(b[1]), &c); err != nil {
			t.Errorf("%v\nin\n%s", err, b[1])
		}
		if i == 0 { // says of itself that it is what holds without a file
			if d := cmp.Diff(DefaultConfig(), c, cmp.AllowUnexported(config.Secret{})); d != "" {
				t.Errorf("the defaults in the docs are not those of the program:\n%s", d)
			}
		}
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"bus: {durability: sloppy}":                            "c:1:19: bus.durability:",
		"bus: {listen: tcp://0.0.0.0:9092}":                    "bus.tls",
		"bus: {topics: {evnts: {retention: 1d}}}":              `there is no topic "evnts"`,
		"log: {level: loud}":                                   "log.level",
		"notify: [{name: a, slack: {}}]":                       "c:1:27: notify[0].slack: url: want https",
		"stages: [{name: notify-a, from: [a], to: b, map: x}]": "are those of notify",
		"notify: [{name: a, slack: {url: 'https://h/x'}}, {name: a, slack: {url: 'https://h/x'}}]": `the name "a" is taken`,
		"page: {url: decoder.example}":                  "page.url",
		"sensor: {home_net: [10.0.0.0/33]}":             "sensor.home_net[0]",
		"bus: {sasl: {mechanism: GSSAPI}}":              "bus.sasl.mechanism",
		"listen: https://127.0.0.1:1":                   "listen",
		"bus: {sasl: {password_file: /does/not/exist}}": "bus.sasl.password_file",
	} {
		c := DefaultConfig()
		err := config.Decode("c", []byte(text), &c)
		if _, ok := errors.AsType[config.Problems](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestConfigurationThatCannotBeLookedAtIsNotTakenForNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data") // a file where a folder is meant
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, path, err := LoadConfig("", file); err == nil {
		t.Errorf("read %q without an error", path)
	}
}
