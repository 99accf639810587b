package rerun

import "testing"

func TestDocumentsAreTheSameByWhatTheySay(t *testing.T) {
	s := &stage{run: "r"}
	made := `{"a":1,"n":18446744073709551615,"event":{"id":"x","kind":"alert"},"decoder":{"alert":{"score":5}}}`
	marked, of := s.marked([]byte(made), "y")
	if of = parseDigest(of.String()); !of.of([]byte(made)) {
		t.Error("a document is not the same as itself")
	}
	for live, same := range map[string]bool{
		`{"decoder":{"alert":{"score":5}},"event":{"kind":"alert","id":"x"},"n":18446744073709551615,"a":1}`:          true,
		`{ "a": 1, "n": 18446744073709551615, "event": {"id":"x","kind":"alert"}, "decoder": {"alert":{"score":5}} }`: true,
		`{"a":1,"n":18446744073709551616,"event":{"id":"x","kind":"alert"},"decoder":{"alert":{"score":5}}}`:          false,
		`{"a":1,"n":18446744073709551615,"event":{"id":"x","kind":"alert"},"decoder":{"alert":{"score":6}}}`:          false,
		string(marked): false,
		"":             false,
		"null":         false,
	} {
		if of.of([]byte(live)) != same {
			t.Errorf("%s: want the same: %t", live, same)
		}
	}
	for _, text := range []string{"no object", "[1]", ""} {
		marked, of := s.marked([]byte(text), "y")
		if string(marked) != text || !of.of([]byte(text)) || of.of([]byte("other")) {
			t.Errorf("%q became %q", text, marked)
		}
	}
}
