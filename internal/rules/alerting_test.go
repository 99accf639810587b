package rules

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someRules = `# a comment
alert tcp any any -> any any (msg:"with \"class\""; classtype:trojan-activity; metadata:malware_family One, malware_family Two, signature_severity Major; sid:1; rev:4;)
alert tcp any any -> any any (msg:"own priority"; classtype:trojan-activity; priority:3; gid:2; sid:2; rev:1;)
alert tcp any any -> any any (msg:"no class"; sid:3; rev:1;)
alert tcp any any -> any any (msg:"unknown class"; classtype:nobody-knows; sid:4; rev:1;)
#alert tcp any any -> any any (msg:"off"; sid:5; rev:1;)
pass tcp any any -> any any (msg:"pass"; sid:6; rev:1;)
alert tcp any any -> any any (msg:"sets a bit"; flowbits:set,x; flowbits:noalert; sid:7; rev:1;)
alert tcp any any -> any any (msg:"quiet"; noalert; sid:8; rev:1;)
drop tcp any any -> any any (msg:"drops"; sid:9; rev:1;)
alert tcp any any -> any any (msg:"older"; sid:1; rev:3;)
`

func TestRulesThatAlertAreReadFromFiles(t *testing.T) {
	s := newSet(t, Options{}, nil)
	if err := os.MkdirAll(s.path("active"), 0o700); err != nil {
		t.Fatal(err)
	}
	classes := "# comment\nconfig classification: trojan-activity,A Network Trojan was detected, 1\nbroken line\n"
	if err := os.WriteFile(s.path("active", "classification.config"), []byte(classes), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plain, packed, none := filepath.Join(dir, "a.rules"), filepath.Join(dir, "b.rules.gz"), filepath.Join(dir, "none")
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if _, err := z.Write([]byte(`alert tcp any any -> any any (msg:"newer"; sid:3; rev:2;)`)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{plain: someRules, none: "\x7fELF no rules\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.AlertingOf(plain, packed)
	if err != nil {
		t.Fatal(err)
	}
	type short struct {
		Message, Category string
		Revision          int
		Priority          int
		Family            string
	}
	out := map[string]short{}
	for id, a := range got {
		out[id] = short{a.Message, a.Category, a.Revision, a.Priority, a.Metadata["malware_family"]}
	}
	if own := out["1:1900000"]; own.Message == "" {
		t.Error("the self-test's rule is missing")
	}
	delete(out, "1:1900000")
	want := map[string]short{
		"1:1": {`with "class"`, "A Network Trojan was detected", 4, 1, "Two"},
		"2:2": {"own priority", "A Network Trojan was detected", 1, 3, ""},
		"1:3": {"newer", "", 2, 3, ""},
		"1:4": {"unknown class", "", 1, 0, ""},
		"1:9": {"drops", "", 1, 3, ""},
	}
	if d := cmp.Diff(want, out); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
	for _, bad := range []string{none, filepath.Join(dir, "missing"), dir} {
		if _, err := s.AlertingOf(plain, bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
