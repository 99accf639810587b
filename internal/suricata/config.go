package suricata

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"text/template"
)

//go:embed suricata.yaml.tmpl
var yamlTemplate string

// Config is what a generated engine configuration depends on. With an
// Interface the engine watches it; without one it waits for captures on its
// command socket, ignores checksums and randomises nothing.
type Config struct {
	Dir       string         // where the engine writes eve.json, absolute
	Socket    string         // command socket, absolute, at most 107 bytes
	Interface string         // interface to watch; "" for captures
	HomeNet   []netip.Prefix // what is defended; PrivateNetworks when empty
	// ExternalNet is EXTERNAL_NET as the engine reads it. It is "any" when "",
	// since "!$HOME_NET" misses what moves inside: 13 % of the alerts on real
	// captures.
	ExternalNet string
	Rules       RuleSet
	// Modbus has the engine write an event for every Modbus transaction. An
	// engine that watches an interface always does; for captures it is off as
	// in the engine's own configuration, so that results can be compared.
	Modbus bool
	Major  int // major version of the engine, 7 when 0
}

// RuleSet names the rule files an engine loads and what they refer to. All
// paths are absolute; the last three may be empty.
type RuleSet struct {
	Files          []string `json:"files"`
	Classification string   `json:"classification,omitempty"` // classification.config
	Reference      string   `json:"reference,omitempty"`      // reference.config
	Threshold      string   `json:"threshold,omitempty"`      // threshold.config: suppressions
}

// Hash is the SHA-256 over the contents of the set, in hexadecimal. Where the
// files lie does not matter, their order does.
func (r RuleSet) Hash() (string, error) {
	h := sha256.New()
	for _, path := range append([]string{r.Classification, r.Reference, r.Threshold}, r.Files...) {
		if err := hashFile(h, path); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(w io.Writer, path string) error {
	sum := sha256.New()
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("hashing rules: %w", err)
		}
		defer f.Close()
		if _, err := io.Copy(sum, f); err != nil {
			return fmt.Errorf("hashing rules %s: %w", path, err)
		}
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

// PrivateNetworks is the HOME_NET of whoever states none: RFC 1918, the unique
// local addresses of RFC 4193 and the link-local ones of RFC 4291.
func PrivateNetworks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("fc00::/7"),
		netip.MustParsePrefix("fe80::/10"),
	}
}

// Generate returns the text of suricata.yaml. The same Config always gives
// the same text.
func Generate(c Config) (string, error) {
	if len(c.HomeNet) == 0 {
		c.HomeNet = PrivateNetworks()
	}
	if c.Major == 0 {
		c.Major = 7
	}
	if c.ExternalNet == "" {
		c.ExternalNet = "any"
	}
	nets := make([]string, len(c.HomeNet))
	for i, p := range c.HomeNet {
		nets[i] = p.Masked().String()
	}
	values := map[string]any{
		"HomeNet":     "[" + strings.Join(nets, ",") + "]",
		"ExternalNet": c.ExternalNet,
		"LogDir":      c.Dir, "Socket": c.Socket, "Interface": c.Interface,
		"StatsInterval": 8,
		"Rules":         c.Rules.Files, "Classification": c.Rules.Classification,
		"Reference": c.Rules.Reference, "Threshold": c.Rules.Threshold,
		"Modbus": c.Modbus || c.Interface != "", "Major": c.Major,
	}
	t, err := template.New("suricata.yaml").Funcs(template.FuncMap{
		"q": quote,
		"yes": func(v any) string {
			if v == true || (v != false && v != "") {
				return "yes"
			}
			return "no"
		},
	}).Parse(yamlTemplate)
	if err != nil {
		return "", fmt.Errorf("generating suricata.yaml: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, values); err != nil {
		return "", fmt.Errorf("generating suricata.yaml: %w", err)
	}
	return out.String(), nil
}

// quote writes a string as a double-quoted YAML scalar, whose escapes are Go's
// but for bytes that are not UTF-8: a path with such bytes is not found.
func quote(s string) string { return strconv.Quote(s) }

// Hash says what an engine under this configuration will find: it changes with
// every setting, the engine's version and the contents of the rules, but not
// with where folders and files lie.
func (c Config) Hash(version string) (string, error) {
	rules, err := c.Rules.Hash()
	if err != nil {
		return "", err
	}
	c.Dir, c.Socket = "", ""
	c.Rules = RuleSet{}
	text, err := Generate(c)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s", version, rules, text)
	return hex.EncodeToString(h.Sum(nil)), nil
}
