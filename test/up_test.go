package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kcat runs the field's command line client against an instance's log.
func kcat(t *testing.T, data, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kcat", append([]string{"-F", filepath.Join(data, "client.properties")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kcat %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out.String()
}

const dnsLine = `{"timestamp":"2026-01-02T03:04:05.000006+0000","flow_id":1,"event_type":"dns","src_ip":"10.0.0.5","src_port":5353,"dest_ip":"10.0.0.1","dest_port":53,"proto":"UDP","dns":{"type":"query","id":7,"rrname":"needle.example","rrtype":"A"}}`

// finding makes an alert of a line of DNS.
func finding(line string) string {
	return strings.Replace(line, `"event_type":"dns"`, `"event_type":"alert","alert":{"action":"allowed","gid":1,"signature_id":2000001,"rev":1,"signature":"a finding","category":"Misc activity","severity":1}`, 1)
}

// now is a timestamp that the store's age limit reaches.
func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000+0000") }

func fresh(line string) string {
	return strings.Replace(line, "2026-01-02T03:04:05.000006+0000", now(), 1)
}

func TestAnyProducerIsASource(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	i := up(t, data, "--no-capture")
	if list := kcat(t, data, "", "-L"); !strings.Contains(list, `topic "suricata_ingest"`) {
		t.Errorf("kcat does not list the topics:\n%s", list)
	}
	kcat(t, data, fresh(dnsLine)+"\n", "-P", "-t", "suricata_ingest")
	await(t, "the event to be searchable", func() bool { return count(t, data, "dns.question.name:needle.example") == 1 })
	if events := kcat(t, data, "", "-C", "-t", "events", "-o", "beginning", "-e", "-q"); !strings.Contains(events, "needle.example") {
		t.Errorf("kcat does not read the event:\n%s", events)
	}
	i.terminate(t)
}

func TestMalformedLineBecomesADeadLetterAndTheNextIsHandled(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	up(t, data, "--no-capture")
	bad := []string{
		`{"timestamp":"2026-01-02T03:04:05`,
		`not json at all`,
		"{\"timestamp\":\"" + now() + "\",\"event_type\":\"dns\",\"a\":\"\xff\xfe\"}",
		`{}`,
	}
	for _, line := range bad {
		kcat(t, data, line+"\n", "-P", "-t", "suricata_ingest", "-p", "0")
	}
	kcat(t, data, fresh(dnsLine)+"\n", "-P", "-t", "suricata_ingest", "-p", "0")
	await(t, "the event behind the bad ones", func() bool { return count(t, data, "dns.question.name:needle.example") == 1 })
	letters := must(t, data, "tail", "dead_normalise", "--from", "first")
	for _, line := range []string{bad[0], bad[1]} {
		if strings.Count(letters, line+"\n") != 1 {
			t.Errorf("%q is not a dead letter, once and whole, in\n%s", line, letters)
		}
	}
}

// TestDeadLetterIsTriedEditedAndResent takes a bad line all the way back.
func TestDeadLetterIsTriedEditedAndResent(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	up(t, data, "--no-capture")
	broken := strings.Replace(fresh(dnsLine), "}}", "}", 1)
	kcat(t, data, broken+"\n", "-P", "-t", "suricata_ingest")
	type letter struct {
		Topic     string
		Partition int
		Offset    int
		Code      string
	}
	var all []letter
	await(t, "the dead letter", func() bool {
		all = lines[letter](t, must(t, data, "dead", "list", "--json"))
		return len(all) == 1
	})
	if all[0].Code != "json_invalid" {
		t.Errorf("the code is %s", all[0].Code)
	}
	name := fmt.Sprintf("%s/%d/%d", all[0].Topic, all[0].Partition, all[0].Offset)
	if raw := must(t, data, "dead", "show", "--value", name); raw != broken {
		t.Errorf("the bytes are not untouched:\n%q\n%q", raw, broken)
	}
	if r := decoder(t, data, "dead", "try", name); r.code != 1 || !strings.Contains(r.stderr, "json_invalid") {
		t.Errorf("trying it as it is: exit code %d, %s", r.code, r.stderr)
	}
	mended := writeFile(t, t.TempDir(), "mended", broken+"}")
	if out := must(t, data, "dead", "try", name, "--file", mended); !strings.Contains(out, "needle.example") {
		t.Errorf("trying it mended gives %s", out)
	}
	if n := count(t, data, "event.module:suricata"); n != 0 {
		t.Errorf("a trial wrote %d events", n)
	}
	must(t, data, "dead", "edit", name, "--file", mended, "--note", "a brace was missing")
	await(t, "the mended line", func() bool { return count(t, data, "dns.question.name:needle.example") == 1 })
	if out := must(t, data, "dead", "list", "--json"); out != "" {
		t.Errorf("still listed: %s", out)
	}
}

func TestTenMegabyteLineIsHandledOrKept(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	up(t, data, "--no-capture")
	long := strings.Replace(fresh(dnsLine), `"id":7`, `"id":7,"filler":"`+strings.Repeat("x", 10<<20)+`"`, 1)
	file := writeFile(t, t.TempDir(), "line", long)
	kcat(t, data, "", "-P", "-t", "suricata_ingest", "-p", "0", "-X", "message.max.bytes=16000000", file)
	kcat(t, data, strings.Replace(fresh(dnsLine), "needle", "next", 1)+"\n", "-P", "-t", "suricata_ingest", "-p", "0")
	await(t, "the event behind the long one", func() bool { return count(t, data, "dns.question.name:next.example") == 1 })
	kept := func() bool {
		dead := len(must(t, data, "tail", "dead_normalise", "--from", "first")) + len(must(t, data, "tail", "dead_store", "--from", "first"))
		return count(t, data, "dns.question.name:needle.example") == 1 || dead > 10<<20
	}
	await(t, "the long line, as an event or a dead letter", kept)
}

func TestSecondInstanceOnTheFolderIsRefused(t *testing.T) {
	data := t.TempDir()
	first := up(t, data, "--no-capture")
	r := decoder(t, data, "up", "--no-capture", "--listen", "http://127.0.0.1:0", "--kafka", "tcp://127.0.0.1:0")
	if r.code != 1 || strings.Count(r.stderr, "is in use by process") != 1 || !strings.Contains(r.stderr, "--data") {
		t.Errorf("exit code %d:\n%s", r.code, r.stderr)
	}
	must(t, data, "topics") // the first goes on
	first.terminate(t)
}

func TestPortInUseIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	for flag, scheme := range map[string]string{"--listen": "http://", "--kafka": "tcp://"} {
		args := []string{"up", "--no-capture", "--listen", "http://127.0.0.1:0", "--kafka", "tcp://127.0.0.1:0", flag, scheme + taken}
		r := decoder(t, t.TempDir(), args...)
		if r.code != 1 || strings.Count(r.stderr, "in use") != 1 || !strings.Contains(r.stderr, taken) || !strings.Contains(r.stderr, "give another address with "+flag) {
			t.Errorf("%s on a taken port: exit code %d, want one sentence that says what to do\n%s", flag, r.code, r.stderr)
		}
	}
}

func TestCommandsWithoutAnInstanceSayHowToStartOne(t *testing.T) {
	data := t.TempDir()
	for _, command := range [][]string{
		{"alerts"}, {"topics"}, {"groups"}, {"tail", "events"}, {"rules", "list"}, {"selftest"}, {"inbox", "rebuild"},
	} {
		r := decoder(t, data, command...)
		if r.code != 1 || !strings.Contains(r.stderr, "decoder up") {
			t.Errorf("decoder %s: exit code %d, %s", strings.Join(command, " "), r.code, r.stderr)
		}
	}
}

func TestWrongUsageAndConfigurationExitWithTwo(t *testing.T) {
	data := t.TempDir()
	wrong := writeFile(t, data, "wrong.yml", "sensr: {}\nlisten: nowhere\n")
	missing := filepath.Join(data, "missing")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, "nonsense"},
		{[]string{"search", "--count", "source.ip:("}, "^"},
		{[]string{"config", "check", wrong}, `wrong.yml:1:1: sensr: unknown setting, did you mean "sensor"?`},
		{[]string{"config", "check", wrong}, "wrong.yml:2:9: listen:"},
		{[]string{"up", "--config", wrong}, "wrong.yml:1:1"},
		{[]string{"replay"}, "captures"},
		{[]string{"replay", "--rules", missing, wrong}, missing},
		{[]string{"replay", "--rules", data, wrong}, "not a regular file"},
		{[]string{"config", "check", missing}, missing},
		{[]string{"search", "--config", missing, "x"}, missing},
		{[]string{"search", "--json", "--count", "x"}, "--json and --count"},
		{[]string{"search", "--from", "yesterday", "x"}, "yesterday"},
		{[]string{"search", "source.ip:10.0.0.0/40"}, "    ^"},
		{[]string{"alerts", "show"}, "<id>"},
		{[]string{"dead", "show", "here"}, "dead_<client>/<partition>/<offset>"},
		{[]string{"doctor", "--observe", "long"}, "long"},
	} {
		r := decoder(t, data, c.args...)
		if r.code != 2 || !strings.Contains(r.stderr, c.want) || r.out != "" {
			t.Errorf("decoder %s: exit code %d, want 2, nothing on standard output and %q in\n%s%s", strings.Join(c.args, " "), r.code, c.want, r.stderr, r.out)
		}
	}
}

// TestWhatIsNotThereIsNamed asks an instance, and a folder without one, for
// what they do not have.
func TestWhatIsNotThereIsNamed(t *testing.T) {
	data, none := t.TempDir(), filepath.Join(t.TempDir(), "none")
	up(t, data, "--no-capture")
	for _, c := range []struct {
		data string
		args []string
		want string
	}{
		{data, []string{"tail", "nope"}, `no topic "nope"`},
		{data, []string{"topics", "describe", "events", "nope"}, "no topic nope"},
		{data, []string{"alerts", "show", "nosuch"}, "nosuch"},
		{data, []string{"dead", "show", "dead_nope/0/0"}, "dead_nope/0/0"},
		{data, []string{"replay", "--job", "nope"}, "nope"},
		{data, []string{"rerun", "--show", "nope"}, "nope"},
		{data, []string{"rules", "disable", "99999999"}, "99999999"},
		{data, []string{"log", "dump", "events"}, "decoder tail events"},
		{none, []string{"search", "--count", "x"}, "no data folder " + none},
		{none, []string{"log", "verify"}, "no log in " + none},
		{none, []string{"mail", "check", none}, "no such file"},
	} {
		r := decoder(t, c.data, c.args...)
		if r.code != 1 || !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, c.want) > 1 {
			t.Errorf("decoder %s: exit code %d, want 1 and %q once in\n%s", strings.Join(c.args, " "), r.code, c.want, r.stderr)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a command that only reads has made a data folder")
	}
}

func TestTailBeginsAnywhere(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	up(t, data, "--no-capture")
	kcat(t, data, "a\nb\nc\n", "-P", "-t", "json_ingest", "-p", "3")
	for _, c := range []struct{ args, want string }{
		{"", "a\nb\nc\n"}, {"--from=-2", "b\nc\n"}, {"--from begin --limit 1", "a\n"}, {"--from 1 --partition 3", "b\nc\n"},
		{"--from end", ""}, {"--from next -p 3", ""}, {"-p 2", ""}, {"--from 1h", "a\nb\nc\n"},
	} {
		if got := must(t, data, append([]string{"tail", "json_ingest"}, strings.Fields(c.args)...)...); got != c.want {
			t.Errorf("tail %s gives %q, want %q", c.args, got, c.want)
		}
	}
	for _, args := range []string{"--from soon", "--from=-x", "-p 77"} {
		if r := decoder(t, data, append([]string{"tail", "json_ingest"}, strings.Fields(args)...)...); r.code != 2 {
			t.Errorf("tail %s: exit code %d, want 2: %s", args, r.code, r.stderr)
		}
	}
}

func TestFilesOfTheDataFolderArePrivate(t *testing.T) {
	data := t.TempDir()
	up(t, data, "--no-capture")
	for _, name := range []string{"control.sock", filepath.Join("log", "client.properties")} {
		info, err := os.Stat(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, info.Mode().Perm())
		}
	}
}

// TestNothingAcknowledgedIsLostAtTheEnd appends while the instance is told to
// stop, and counts what was acknowledged.
func TestNothingAcknowledgedIsLostAtTheEnd(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	i := up(t, data, "--no-capture")
	acknowledged := 0
	for n := range 20 {
		kcat(t, data, strings.Replace(fresh(dnsLine), "needle", "n"+strconv.Itoa(n), 1)+"\n", "-P", "-t", "suricata_ingest")
		acknowledged++
	}
	i.terminate(t)
	again := up(t, data, "--no-capture")
	await(t, "what was acknowledged", func() bool { return count(t, data, "dns.question.name:*.example") >= uint64(acknowledged) })
	if n := count(t, data, "dns.question.name:*.example"); n != uint64(acknowledged) {
		t.Errorf("%d events, want %d", n, acknowledged)
	}
	again.terminate(t)
}

func TestLogIsVerifiedWithoutAnInstance(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	i := up(t, data, "--no-capture")
	kcat(t, data, fresh(dnsLine)+"\n", "-P", "-t", "suricata_ingest", "-p", "0")
	if r := decoder(t, data, "log", "verify"); r.code != 1 || !strings.Contains(r.stderr, "stop it first") {
		t.Errorf("while an instance runs: exit code %d, %s", r.code, r.stderr)
	}
	i.terminate(t)
	if out := must(t, data, "log", "verify"); !strings.Contains(out, " 0 problems") {
		t.Errorf("verify says %s", out)
	}
	if out := must(t, data, "log", "dump", "suricata_ingest", "0"); !strings.Contains(out, "needle.example") {
		t.Errorf("dump says %s", out)
	}
	segments, err := filepath.Glob(filepath.Join(data, "log", "topics", "*", "0", "*.log"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	for _, s := range segments {
		text, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(text, []byte("needle")); at > 0 {
			text[at] ^= 1
			if err := os.WriteFile(s, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r := decoder(t, data, "log", "verify"); r.code != 1 || !strings.Contains(r.out, "suricata_ingest") || !strings.Contains(r.out, "offset 0 cannot be read") {
		t.Errorf("after a flipped bit: exit code %d\n%s", r.code, r.out)
	}
	if out := must(t, data, "log", "repair"); !strings.Contains(out, "suricata_ingest/0: 1 records from offset 0 on are lost") {
		t.Errorf("repair says %s", out)
	}
	if out := must(t, data, "log", "verify"); !strings.Contains(out, " 0 problems") {
		t.Errorf("verify says after the repair %s", out)
	}
	// What comes behind the hole is read.
	i = up(t, data, "--no-capture")
	kcat(t, data, fresh(strings.ReplaceAll(dnsLine, "needle", "haystack"))+"\n", "-P", "-t", "suricata_ingest", "-p", "0")
	await(t, "what was appended behind the hole", func() bool { return count(t, data, "dns.question.name:haystack.example") == 1 })
	i.terminate(t)
}
