package rules

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Alerting is what a rule says of the alerts it makes.
type Alerting struct {
	Rule
	// Category and Priority are those of the rule's class, or the priority of
	// its own; "" and 0 where no classification file tells.
	Category string
	Priority int
	// Metadata has of each key the last value, which Suricata 7 writes first.
	Metadata map[string]string
}

// defaultPriority is that of a rule without class and priority, as Suricata 7
// has it.
const defaultPriority = 3

// AlertingOf reads rule files, plain or gzipped, and returns the rules in them
// that are on and make alerts, by "gid:sid", and the self-test's, which every
// engine has. Of a rule that is there twice the later revision counts. A file
// without any rule is an error: it is none of rules.
func (s *Set) AlertingOf(paths ...string) (map[string]Alerting, error) {
	classes, err := readClasses(s.classification())
	if err != nil {
		return nil, err
	}
	all := map[string]Alerting{}
	if err := alertingOf(bytes.NewReader(selftestRules), classes, all); err != nil {
		return nil, err
	}
	for _, path := range paths {
		found := map[string]Alerting{}
		err := readRuleFile(path, func(r io.Reader) error { return alertingOf(r, classes, found) })
		if err == nil && len(found) == 0 {
			err = errors.New("no rule in it makes alerts")
		}
		if err != nil {
			return nil, fmt.Errorf("reading rules %s: %w", path, err)
		}
		for id, r := range found {
			if r.Revision >= all[id].Revision {
				all[id] = r
			}
		}
	}
	return all, nil
}

func readRuleFile(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		defer z.Close()
		r = z
	}
	limited := &io.LimitedReader{R: r, N: largestUnpacked}
	if err := read(limited); err != nil {
		return err
	}
	if limited.N == 0 {
		return fmt.Errorf("it is over %d bytes", largestUnpacked)
	}
	return nil
}

func alertingOf(r io.Reader, classes map[string]class, found map[string]Alerting) error {
	return eachLine(r, func(line string) error {
		rule, ok := parse(line)
		if !ok || !rule.Enabled || rule.Action == "pass" {
			return nil
		}
		a, gid, alerts := alertingRule(rule, classes)
		if id := gid + ":" + strconv.Itoa(rule.ID); alerts && rule.Revision >= found[id].Revision {
			found[id] = a
		}
		return nil
	})
}

// alertingRule reads the options that parse does not.
func alertingRule(r Rule, classes map[string]class) (a Alerting, gid string, alerts bool) {
	a, gid, alerts = Alerting{Rule: r, Metadata: map[string]string{}}, "1", true
	own := 0
	open := strings.IndexByte(r.Text, '(')
	for name, value := range options(r.Text[open+1 : len(r.Text)-1]) {
		switch name {
		case "gid":
			gid = value
		case "priority":
			own, _ = strconv.Atoi(value)
		case "noalert":
			alerts = false
		case "flowbits":
			alerts = alerts && value != "noalert"
		case "metadata":
			for pair := range strings.SplitSeq(value, ",") {
				key, text, _ := strings.Cut(strings.TrimSpace(pair), " ")
				a.Metadata[key] = strings.TrimSpace(text)
			}
		}
	}
	a.Text = "" // it was all that was wanted of it
	c, known := classes[strings.ToLower(r.Class)]
	switch {
	case own > 0:
		a.Category, a.Priority = c.text, own
	case known:
		a.Category, a.Priority = c.text, c.priority
	case r.Class == "":
		a.Priority = defaultPriority
	}
	return a, gid, alerts
}

// class is a line of a classification file.
type class struct {
	text     string
	priority int
}

// readClasses reads a classification file of Suricata, by class. Without the
// file nothing is known of any.
func readClasses(path string) (map[string]class, error) {
	classes := map[string]class{}
	b, err := os.ReadFile(path)
	if path == "" || errors.Is(err, os.ErrNotExist) {
		return classes, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading classes of rules: %w", err)
	}
	err = eachLine(bytes.NewReader(b), func(line string) error {
		text, is := strings.CutPrefix(strings.TrimSpace(line), "config classification:")
		if f := strings.Split(text, ","); is && len(f) == 3 {
			priority, _ := strconv.Atoi(strings.TrimSpace(f[2]))
			classes[strings.ToLower(strings.TrimSpace(f[0]))] = class{strings.TrimSpace(f[1]), priority}
		}
		return nil
	})
	return classes, err
}
