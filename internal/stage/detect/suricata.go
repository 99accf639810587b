package detect

import "bytes"

// Suricata makes an alert of each alert of Suricata: the rule is the check,
// and its priority, severity and confidence make the score.
type Suricata struct {
	// Rules are what the rules say of themselves, by "gid:sid", instead of what
	// the engine wrote into the event when it alerted; a rule that is not among
	// them gives no alert. Nil: the events' own words.
	Rules map[string]Rule
}

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
func (d Suricata) Detect(e Event) ([]Finding, error) {
	if !bytes.Equal(e.Text(suricataDataset), []byte("suricata.alert")) || len(e.Text(suricataSID)) == 0 {
		return nil, nil
	}
	id := ruleID(e)
	says := ruleOf(e)
	rule, on := d.rule(id, says)
	if !on {
		return nil, nil
	}
	f := Finding{
		Group:    id + "," + e.String(suricataSource) + "," + e.String(suricataDestination),
		Kind:     Network,
		Severity: rule.severity(),
		Title:    rule.Name,
		Badges:   suricataBadges(e, rule),
		Checks:   rule.checks(id),
	}
	if f.Title == "" {
		f.Title = "Suricata rule " + id
	}
	if rule.Name != says.Name || rule.Revision != says.Revision || rule.Category != says.Category {
		f.Rule = &rule
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
func suricataBadges(e Event, rule Rule) []string {
	var badges []string
	if bytes.Equal(e.Text(suricataAction), []byte("blocked")) {
		badges = append(badges, "blocked")
	}
	for _, b := range []string{e.String(suricataCVE), rule.Malware, first(e, suricataTechnique)} {
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
