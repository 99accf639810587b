package detect

import (
	"bytes"
	"strings"
)

// Suricata makes an alert of each alert of Suricata: the rule is the check,
// and its priority, severity and confidence make the score.
type Suricata struct{}

// The detector's fields, in the order of Fields.
const (
	suricataDataset = iota
	suricataGID
	suricataSID
	suricataRevision
	suricataName
	suricataCategory
	suricataPriority
	suricataAction
	suricataSource
	suricataDestination
	suricataTechnique
	suricataCVE
	suricataRuleSeverity
	suricataConfidence
	suricataMalware
)

// Name returns suricata.
func (Suricata) Name() string { return "suricata" }

// Fields names what the detector reads.
func (Suricata) Fields() []string {
	return []string{
		"event.dataset", "suricata.eve.alert.gid", "rule.id", "rule.version", "rule.name", "rule.category",
		"event.severity", "suricata.eve.alert.action", "source.ip", "destination.ip", "threat.technique.id", "vulnerability.id",
		"suricata.eve.alert.metadata.signature_severity", "suricata.eve.alert.metadata.confidence",
		"suricata.eve.alert.metadata.malware_family",
	}
}

// Detect returns the finding of an event of the dataset suricata.alert.
func (Suricata) Detect(e Event) ([]Finding, error) {
	if !bytes.Equal(e.Text(suricataDataset), []byte("suricata.alert")) || len(e.Text(suricataSID)) == 0 {
		return nil, nil
	}
	rule := ruleID(e)
	checks := suricataChecks(e, rule)
	f := Finding{
		Group:    rule + "," + e.String(suricataSource) + "," + e.String(suricataDestination),
		Kind:     Network,
		Severity: suricataSeverity(e),
		Title:    e.String(suricataName),
		Badges:   suricataBadges(e),
		Checks:   checks,
	}
	if f.Title == "" {
		f.Title = "Suricata rule " + rule
	}
	return []Finding{f}, nil
}

// ruleID is the rule as Suricata names it, generator and signature.
func ruleID(e Event) string {
	gid := e.String(suricataGID)
	if gid == "" {
		gid = "1"
	}
	return gid + ":" + e.String(suricataSID)
}

// suricataSeverity goes by the rule's priority, 1 the gravest, and takes one
// that its author calls critical as such.
func suricataSeverity(e Event) Severity {
	switch e.Int(suricataPriority) {
	case 1:
		if strings.EqualFold(first(e, suricataRuleSeverity), "critical") {
			return Critical
		}
		return High
	case 2:
		return Medium
	default:
		return Low
	}
}

// suricataChecks explains the score: points by priority, then what the rule's
// author says of it. Low stays below 40, medium below 65, high below 90.
func suricataChecks(e Event, rule string) []Check {
	version := e.Int(suricataRevision)
	evidence := "rule " + rule
	if name := e.String(suricataName); name != "" {
		evidence += " " + name
	}
	if category := e.String(suricataCategory); category != "" {
		evidence += " (" + category + ")"
	}
	checks := []Check{{
		Name: "suricata_rule", Points: priorityPoints(e.Int(suricataPriority)), Evidence: evidence, Version: version,
		Benign: "a tool or a service of your own makes such traffic, such as a scanner, an update or a test; disable or narrow the rule if it keeps doing so",
	}}
	if s := first(e, suricataRuleSeverity); s != "" {
		if p := map[string]int{"critical": 15, "major": 5, "informational": -10}[strings.ToLower(s)]; p != 0 {
			checks = append(checks, Check{
				Name: "rule_severity", Points: p, Evidence: "the rule's author calls it " + strings.ToLower(s), Version: version,
				Benign: "the author rates what the rule is written for, not what it matched here",
			})
		}
	}
	if c := first(e, suricataConfidence); c != "" {
		if p := map[string]int{"high": 5, "low": -10}[strings.ToLower(c)]; p != 0 {
			checks = append(checks, Check{
				Name: "rule_confidence", Points: p, Evidence: "the rule's author has " + strings.ToLower(c) + " confidence in it", Version: version,
				Benign: "a rule of low confidence often matches by chance; one of high confidence seldom does",
			})
		}
	}
	return checks
}

func priorityPoints(priority int64) int {
	switch priority {
	case 1:
		return 75
	case 2:
		return 50
	default:
		return 25
	}
}

func first(e Event, field int) string {
	if s := e.Strings(field); len(s) > 0 {
		return s[0]
	}
	return ""
}

// suricataBadges are at most three: that it was blocked, the weakness or the
// malware, the technique.
func suricataBadges(e Event) []string {
	var badges []string
	if bytes.Equal(e.Text(suricataAction), []byte("blocked")) {
		badges = append(badges, "blocked")
	}
	for _, b := range []string{e.String(suricataCVE), first(e, suricataMalware), first(e, suricataTechnique)} {
		if b != "" && len(badges) < 3 {
			badges = append(badges, short(b))
		}
	}
	return badges
}

// short cuts what a rule's author wrote to what fits a badge.
func short(s string) string {
	if r := []rune(s); len(r) > 32 {
		return string(r[:31]) + "…"
	}
	return s
}
