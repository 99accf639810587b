package detect

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/client"
)

// gapLine is a line as package source/suricata writes it.
const gapLine = `{"timestamp":"2026-03-02T08:00:23.022471+0000","event_type":"decoder_gap","in_iface":"eth0","host":"north","decoder_gap":{"start":"2026-03-02T08:00:10.722471Z","end":"2026-03-02T08:00:23.022471Z","seconds":12.3,"reason":"suricata ended: signal: killed"}}`

func alertOf(t *testing.T, line string) []byte {
	t.Helper()
	out, err := client.TryFrom(t.Context(), New(Suricata{}, Gap{}), eventOf(t, line, ""))
	if err != nil || len(out) != 1 {
		t.Fatalf("%d alerts, %v", len(out), err)
	}
	if want := "not_watched,north,eth0"; string(out[0].Key) != want {
		t.Errorf("group %s, want %s", out[0].Key, want)
	}
	return out[0].Value
}

func TestGapBecomesAnAlertOfThePipeline(t *testing.T) {
	var got bytes.Buffer
	if err := json.Indent(&got, alertOf(t, gapLine), "", "  "); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/gap.expected.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()+"\n"); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGapMattersMoreTheLongerItIs(t *testing.T) {
	for start, want := range map[string][2]string{
		"2026-03-02T08:00:10.722471Z": {`"severity":"low"`, `"title":"eth0 was not watched for 12 s"`},
		"2026-03-02T07:59:23.022471Z": {`"severity":"medium"`, `"title":"eth0 was not watched for 60 s"`},
		"2026-03-01T08:00:23.022471Z": {`"severity":"medium"`, `"title":"eth0 was not watched for 24 h"`},
		// The clock was set back meanwhile.
		"2026-03-02T09:00:00Z": {`"severity":"low"`, `"title":"eth0 was not watched for a while"`},
	} {
		alert := alertOf(t, strings.Replace(gapLine, "2026-03-02T08:00:10.722471Z", start, 1))
		for _, w := range want {
			if !bytes.Contains(alert, []byte(w)) {
				t.Errorf("start %s: no %s in %s", start, w, alert)
			}
		}
	}
}
