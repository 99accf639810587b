package detect

import (
	"cmp"
	"strconv"
	"strings"
)

// Rule is what a rule of Suricata says of itself. Its JSON may be kept.
type Rule struct {
	Name     string `json:"name"`
	Revision int64  `json:"rev"`
	// Category is the text of the rule's class, and Priority its gravity, 1 the
	// gravest. Empty and 0 where nothing says them: the event's then count.
	Category   string `json:"category,omitempty"`
	Priority   int64  `json:"priority,omitempty"`
	Severity   string `json:"severity,omitempty"` // signature_severity of the rule's metadata
	Confidence string `json:"confidence,omitempty"`
	Malware    string `json:"malware,omitempty"` // malware_family
}

// ruleOf returns what the engine wrote of the rule into the event.
func ruleOf(e Event) Rule {
	return Rule{
		Name: e.String(suricataName), Revision: e.Int(suricataRevision), Category: e.String(suricataCategory),
		Priority: e.Int(suricataPriority), Severity: first(e, suricataRuleSeverity),
		Confidence: first(e, suricataConfidence), Malware: first(e, suricataMalware),
	}
}

// rule returns the rule of that id that counts, and whether it is on.
func (d Suricata) rule(id string, says Rule) (Rule, bool) {
	if d.Rules == nil {
		return says, true
	}
	r, on := d.Rules[id]
	r.Category, r.Priority = cmp.Or(r.Category, says.Category), cmp.Or(r.Priority, says.Priority)
	return r, on
}

// severity goes by the rule's priority, 1 the gravest, and takes one that its
// author calls critical as such.
func (r Rule) severity() Severity {
	switch r.Priority {
	case 1:
		if strings.EqualFold(r.Severity, "critical") {
			return Critical
		}
		return High
	case 2:
		return Medium
	default:
		return Low
	}
}

// checks explains the score: points by priority, then what the rule's author
// says of it. Low stays below 40, medium below 65, high below 90.
func (r Rule) checks(id string) []Check {
	evidence := "rule " + id
	if r.Name != "" {
		evidence += " " + r.Name
	}
	if r.Category != "" {
		evidence += " (" + r.Category + ")"
	}
	checks := []Check{{
		Name: "suricata_rule", Points: priorityPoints(r.Priority), Evidence: evidence, Version: r.Revision,
		Benign: "a tool or a service of your own makes such traffic, such as a scanner, an update or a test; disable or narrow the rule if it keeps doing so",
	}}
	if p := map[string]int{"critical": 15, "major": 5, "informational": -10}[strings.ToLower(r.Severity)]; p != 0 {
		checks = append(checks, Check{
			Name: "rule_severity", Points: p, Evidence: "the rule's author calls it " + strings.ToLower(r.Severity), Version: r.Revision,
			Benign: "the author rates what the rule is written for, not what it matched here",
		})
	}
	if p := map[string]int{"high": 5, "low": -10}[strings.ToLower(r.Confidence)]; p != 0 {
		checks = append(checks, Check{
			Name: "rule_confidence", Points: p, Evidence: "the rule's author has " + strings.ToLower(r.Confidence) + " confidence in it", Version: r.Revision,
			Benign: "a rule of low confidence often matches by chance; one of high confidence seldom does",
		})
	}
	return checks
}

// fields puts the rule into the object rule of an event.
func (r Rule) fields(rule map[string]any) {
	rule["name"], rule["version"] = r.Name, strconv.FormatInt(r.Revision, 10)
	if r.Category != "" {
		rule["category"] = r.Category
	}
}
