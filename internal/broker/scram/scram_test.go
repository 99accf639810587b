package scram

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// TestExampleOfTheRFC is the exchange of RFC 7677, section 3, the server's
// nonce given.
func TestExampleOfTheRFC(t *testing.T) {
	const nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := derive(SHA256, "pencil", salt, Iterations)
	if err != nil {
		t.Fatal(err)
	}
	e := &Exchange{
		mechanism: SHA256, step: 1, user: "user", secret: secret, known: true, nonce: nonce,
		first: "n=user,r=rOprNGfwEbeRWgbNEkqO", challenge: "r=" + nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
	}
	out, user, done, err := e.Step([]byte("c=biws,r=" + nonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if err != nil || !done || user != "user" || string(out) != "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("%s, %s, %t, %v", out, user, done, err)
	}
}

func lookup(t testing.TB) Lookup {
	t.Helper()
	secret, err := NewSecret(SHA256, "pencil")
	if err != nil {
		t.Fatal(err)
	}
	return func(user, mechanism string) (Secret, bool) { return secret, user == "user" && mechanism == SHA256 }
}

func TestMessagesThatAreRefused(t *testing.T) {
	known := lookup(t)
	for name, in := range map[string]string{
		"nothing": "", "channel binding": "p=tls-unique,,n=user,r=0123456789", "no user": "n,,r=0123456789",
		"no nonce": "n,,n=user", "short nonce": "n,,n=user,r=1", "long": "n,,n=user,r=" + strings.Repeat("x", maxMessage),
	} {
		if _, _, done, err := Begin(SHA256, known, nil).Step([]byte(in)); done || !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %t, %v", name, done, err)
		}
	}
	for name, final := range map[string]func(nonce string) string{
		"nothing":            func(string) string { return "" },
		"no proof":           func(n string) string { return "c=biws,r=" + n },
		"a proof of nothing": func(n string) string { return "c=biws,r=" + n + ",p=" },
		"a wrong proof":      func(n string) string { return "c=biws,r=" + n + ",p=" + strings.Repeat("A", 43) + "=" },
		"no base64":          func(n string) string { return "c=biws,r=" + n + ",p=*" },
		"another nonce":      func(n string) string { return "c=biws,r=x" + n[:len(n)-1] + ",p=" + strings.Repeat("A", 43) + "=" },
		"another binding":    func(n string) string { return "c=cD10,r=" + n + ",p=" + strings.Repeat("A", 43) + "=" },
	} {
		e := Begin(SHA256, known, nil)
		if _, _, _, err := e.Step([]byte("n,,n=user,r=0123456789")); err != nil {
			t.Fatal(err)
		}
		if out, _, done, err := e.Step([]byte(final(e.nonce))); done || out != nil || !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %s, %t, %v", name, out, done, err)
		}
		if _, _, done, err := e.Step([]byte("c=biws,r=x,p=")); done || !errors.Is(err, ErrRefused) {
			t.Errorf("%s: a third message: %v", name, err)
		}
	}
}

// A stranger is asked like anybody else, each time with the same salt.
func TestNobodyLearnsWhichUsersThereAre(t *testing.T) {
	known := lookup(t)
	salt := func(user string, key ...byte) string {
		out, _, _, err := Begin(SHA256, known, key).Step([]byte("n,,n=" + user + ",r=0123456789"))
		if err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		fields := strings.Split(string(out), ",")
		if len(fields) != 3 || fields[2] != "i=4096" || len(fields[1]) != len("s=")+32 {
			t.Errorf("%s: %s", user, out)
		}
		return fields[1]
	}
	seen := map[string]string{}
	for _, user := range []string{"stranger", "user", "other", "other", "user", "stranger"} {
		now := salt(user)
		if before, ok := seen[user]; ok && before != now {
			t.Errorf("%s has another salt each time", user)
		}
		seen[user] = now
	}
	if seen["stranger"] == seen["other"] {
		t.Error("all strangers have the same salt")
	}
	if seen["stranger"] == salt("stranger", 'k', 'e', 'y') {
		t.Error("who does not know the key can tell a stranger's salt")
	}
}

// FuzzExchange says anything, twice: nobody gets in without the proof.
func FuzzExchange(f *testing.F) {
	known := lookup(f)
	f.Add("n,,n=user,r=0123456789", "c=biws,r=", ",p=AAAA")
	f.Fuzz(func(t *testing.T, first, before, behind string) {
		e := Begin(SHA256, known, nil)
		if _, _, done, err := e.Step([]byte(first)); done || err != nil && !errors.Is(err, ErrRefused) {
			t.Fatalf("%t, %v", done, err)
		}
		if _, _, done, err := e.Step([]byte(before + e.nonce + behind)); done || !errors.Is(err, ErrRefused) {
			t.Fatalf("%t, %v", done, err)
		}
	})
}
