package test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inboxOf is everything the command line shows of the inbox: the groups as
// listed, and each with its history.
func inboxOf(t *testing.T, data string) []string {
	t.Helper()
	list := must(t, data, "alerts", "--json", "--limit", "0")
	all := strings.Split(list, "\n")
	for _, g := range lines[struct{ Group string }](t, list) {
		all = append(all, must(t, data, "alerts", "show", "--json", g.Group))
	}
	return all
}

// TestTriageSurvivesKillsAndIsRebuilt triages by the command line what a replay
// found; neither a kill nor building the inbox again may change any of it.
func TestTriageSurvivesKillsAndIsRebuilt(t *testing.T) {
	need(t, "suricata")
	dir, data := t.TempDir(), t.TempDir()
	rules := writeFile(t, dir, "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)`+"\n")
	capture := writeFile(t, dir, "six.pcap", string(pingCapture(6)))
	first := up(t, data, "--no-capture")
	must(t, data, "replay", "--wait", "--rules", rules, capture)
	type group struct{ Group, State string }
	groups := lines[group](t, must(t, data, "alerts", "--json"))
	if len(groups) != 6 {
		t.Fatalf("%d alert groups, want 6", len(groups))
	}
	// As a person names them: by the short name of the table.
	names := make([]string, len(groups))
	for i, row := range strings.Split(must(t, data, "alerts"), "\n")[1:] {
		if i < len(names) {
			names[i], _, _ = strings.Cut(row, " ")
		}
	}
	must(t, data, "alerts", "escalate", names[0], names[1], "--why", "ask the owner")
	must(t, data, "alerts", "archive", names[2], names[3], "--why", "a scanner of ours")
	must(t, data, "alerts", "reopen", names[3])
	must(t, data, "alerts", "note", names[4], "seen", "before")
	if r := decoder(t, data, "alerts", "archive", "nosuchgroup"); r.code != 1 || !strings.Contains(r.stderr, "nosuchgroup") {
		t.Errorf("archiving what is not there: exit code %d, %s", r.code, r.stderr)
	}
	must(t, data, "alerts", "archive", names[5])
	first.kill() // right behind the answer

	second := up(t, data, "--no-capture")
	want := map[string]string{
		groups[0].Group: "escalated", groups[1].Group: "escalated", groups[2].Group: "archived",
		groups[3].Group: "new", groups[4].Group: "new", groups[5].Group: "archived",
	}
	got := map[string]string{}
	for _, g := range lines[group](t, must(t, data, "alerts", "--json")) {
		got[g.Group] = g.State
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("states after a kill:\n%s", d)
	}
	before := inboxOf(t, data)
	for _, said := range []string{"ask the owner", "a scanner of ours", "seen before"} {
		if !strings.Contains(strings.Join(before, "\n"), said) {
			t.Errorf("%q is not kept", said)
		}
	}
	must(t, data, "inbox", "rebuild")
	if d := cmp.Diff(before, inboxOf(t, data)); d != "" {
		t.Errorf("the inbox built again:\n%s", d)
	}
	second.kill() // and the rebuilt one survives too
	up(t, data, "--no-capture")
	if d := cmp.Diff(before, inboxOf(t, data)); d != "" {
		t.Errorf("the rebuilt inbox after a kill:\n%s", d)
	}
}
