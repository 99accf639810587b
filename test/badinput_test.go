package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadLinesOfAnEveFile follows a file of another Suricata that holds all
// kinds of bad lines, and ends in a torn one: each is an event or a dead
// letter with its bytes, the good ones between them are events, and the torn
// one is when the rest of it has come.
func TestBadLinesOfAnEveFile(t *testing.T) {
	data := t.TempDir()
	eve := filepath.Join(t.TempDir(), "eve.json")
	f, err := os.Create(eve)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(text string) {
		t.Helper()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	good := func(name string) string { return strings.Replace(fresh(dnsLine), "needle", name, 1) }
	malformed := `{"timestamp":"` + now()
	long := strings.Replace(good("long"), `"id":7`, `"id":7,"filler":"`+strings.Repeat("x", 10<<20)+`"`, 1)
	torn := good("torn")
	write(strings.Join([]string{
		good("first"), malformed, "", "not JSON", good("utf8-\xff\xfe"), long, "\x00\x01\x02", good("last"),
	}, "\n") + "\n" + torn[:len(torn)/2])

	conf := writeFile(t, t.TempDir(), "decoder.yml", "sensor:\n  capture: false\n  eve: ["+eve+"]\n")
	running := up(t, data, "--config", conf)
	found := func(name string) bool { return count(t, data, "dns.question.name:"+name+".example") == 1 }
	await(t, "the good lines", func() bool { return found("first") && found("last") })
	await(t, "the line that is not valid UTF-8, as an event", func() bool { return found("utf8-*") })
	type letter struct{ Topic, Code, Client string }
	var letters []letter
	await(t, "the dead letters", func() bool {
		letters = lines[letter](t, must(t, data, "dead", "list", "--json"))
		return len(letters) >= 3
	})
	dead := must(t, data, "tail", "dead_normalise", "--from", "begin", "--json")
	for _, value := range []string{malformed, "not JSON", "\x00\x01\x02"} {
		if want := `"value":` + quoted(value); strings.Count(dead, want) != 1 {
			t.Errorf("%s is not a dead letter, once and whole, in\n%.2000s", want, dead)
		}
	}
	await(t, "the long line, as an event or a dead letter", func() bool {
		return found("long") || strings.Contains(must(t, data, "tail", "dead_store", "--from", "begin"), "long.example")
	})
	if found("torn") {
		t.Error("half a line is an event")
	}
	running.kill()
	write(torn[len(torn)/2:] + "\n")
	up(t, data, "--config", conf)
	await(t, "the torn line, when it is whole", func() bool { return found("torn") })
	if n := len(lines[letter](t, must(t, data, "dead", "list", "--json"))); n != len(letters) {
		t.Errorf("%d dead letters, want %d as before", n, len(letters))
	}
	for id, n := range ids(t, data, "event.module:suricata") {
		if n != 1 {
			t.Errorf("document %s is there %d times", id, n)
		}
	}
}

// quoted is text as the command line's JSON has it.
func quoted(s string) string { return strings.ReplaceAll(fmt.Sprintf("%q", s), `\x`, `\u00`) }
