// Package scram signs clients in by SCRAM (RFC 5802, RFC 7677): SCRAM-SHA-256
// and SCRAM-SHA-512 without channel binding, the server's side. It keeps
// salted hashes, never passwords, and knows nothing of Kafka.
package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// Mechanisms that are offered, strongest first.
const (
	SHA512 = "SCRAM-SHA-512"
	SHA256 = "SCRAM-SHA-256"
)

// Mechanisms lists all.
func Mechanisms() []string { return []string{SHA512, SHA256} }

// Iterations of the hash: what Kafka's own tool uses, and the least a client
// of RFC 7677 accepts.
const Iterations = 4096

const maxMessage = 1024

// ErrRefused is all a client is told, whatever was wrong.
var ErrRefused = errors.New("authentication failed")

// Secret is what the server keeps of a password, for one mechanism.
type Secret struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored_key"`
	ServerKey  []byte `json:"server_key"`
}

func hashOf(mechanism string) func() hash.Hash {
	if mechanism == SHA512 {
		return sha512.New
	}
	return sha256.New
}

// NewSecret hashes a password with a fresh salt.
func NewSecret(mechanism, password string) (Secret, error) {
	salt := make([]byte, 24)
	_, _ = rand.Read(salt) // never fails
	return derive(mechanism, password, salt, Iterations)
}

func derive(mechanism, password string, salt []byte, iterations int) (Secret, error) {
	h := hashOf(mechanism)
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		return Secret{}, fmt.Errorf("hashing password: %w", err)
	}
	stored := h()
	stored.Write(mac(h, salted, "Client Key"))
	return Secret{Salt: salt, Iterations: iterations, StoredKey: stored.Sum(nil), ServerKey: mac(h, salted, "Server Key")}, nil
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// Lookup returns a user's secret for the mechanism.
type Lookup func(user, mechanism string) (Secret, bool)

// Exchange is one sign-in, server side.
type Exchange struct {
	mechanism string
	lookup    Lookup
	key       []byte
	step      int
	user      string
	secret    Secret
	known     bool
	nonce     string
	first     string // client-first-message-bare
	challenge string // server-first-message
}

// Begin starts an exchange. What a stranger is asked is made with the key: who
// knows it can tell that there is no such user.
func Begin(mechanism string, lookup Lookup, key []byte) *Exchange {
	return &Exchange{mechanism: mechanism, lookup: lookup, key: key}
}

// Step takes a message of the client and returns the answer. After done the
// user has proved to know the password. Every error is [ErrRefused].
func (e *Exchange) Step(in []byte) (out []byte, user string, done bool, err error) {
	e.step++
	if len(in) > maxMessage {
		return nil, "", false, ErrRefused
	}
	switch e.step {
	case 1:
		out, err = e.challengeFor(string(in))
		return out, "", false, err
	case 2:
		out, err = e.verify(string(in))
		return out, e.user, err == nil, err
	default:
		return nil, "", false, ErrRefused
	}
}

// challengeFor answers the client's first message: "n,,n=user,r=nonce".
func (e *Exchange) challengeFor(in string) ([]byte, error) {
	rest, ok := strings.CutPrefix(in, "n,")
	if !ok {
		return nil, ErrRefused // channel binding is not offered
	}
	_, e.first, ok = strings.Cut(rest, ",") // an authzid is not used
	if !ok {
		return nil, ErrRefused
	}
	fields := strings.Split(e.first, ",")
	if len(fields) < 2 || !strings.HasPrefix(fields[0], "n=") || !strings.HasPrefix(fields[1], "r=") || len(fields[1]) < 10 {
		return nil, ErrRefused
	}
	e.user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(fields[0][2:])
	e.secret, e.known = e.lookup(e.user, e.mechanism)
	if !e.known { // go on, so that nobody learns which users there are
		e.secret = e.decoy()
	}
	var nonce [18]byte
	_, _ = rand.Read(nonce[:]) // never fails
	e.nonce = fields[1][2:] + base64.RawStdEncoding.EncodeToString(nonce[:])
	e.challenge = fmt.Sprintf("r=%s,s=%s,i=%d", e.nonce, base64.StdEncoding.EncodeToString(e.secret.Salt), e.secret.Iterations)
	return []byte(e.challenge), nil
}

// decoy is a secret nobody knows, the same each time the user is asked for.
func (e *Exchange) decoy() Secret {
	return Secret{Salt: mac(sha512.New, e.key, e.mechanism+"\x00"+e.user)[:24], Iterations: Iterations}
}

// verify checks the client's final message: "c=biws,r=nonce,p=proof".
func (e *Exchange) verify(in string) ([]byte, error) {
	at := strings.LastIndex(in, ",p=")
	if at < 0 {
		return nil, ErrRefused
	}
	withoutProof := in[:at]
	proof, err := base64.StdEncoding.DecodeString(in[at+len(",p="):])
	fields := strings.Split(withoutProof, ",")
	// librdkafka before 2.3 puts its own nonce before the full one once more.
	// What counts is that the server's stands in what is proved; Apache Kafka
	// asks for no more either.
	if err != nil || len(fields) < 2 || !strings.HasPrefix(fields[0], "c=") || !strings.HasPrefix(fields[1], "r=") || !strings.HasSuffix(fields[1], e.nonce) {
		return nil, ErrRefused
	}
	if binding, err := base64.StdEncoding.DecodeString(fields[0][2:]); err != nil || !strings.HasPrefix(string(binding), "n,") {
		return nil, ErrRefused
	}
	h := hashOf(e.mechanism)
	message := e.first + "," + e.challenge + "," + withoutProof
	signature := mac(h, e.secret.StoredKey, message)
	if len(proof) != len(signature) {
		return nil, ErrRefused
	}
	key := make([]byte, len(proof))
	subtle.XORBytes(key, proof, signature)
	stored := h()
	stored.Write(key)
	if !hmac.Equal(stored.Sum(nil), e.secret.StoredKey) || !e.known {
		return nil, ErrRefused
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(h, e.secret.ServerKey, message))), nil
}
