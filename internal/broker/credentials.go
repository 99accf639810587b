package broker

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/broker/scram"
	"github.com/decodersring/decoder/internal/broker/wire"
)

// Files of sign-in in the data folder, mode 0600.
const (
	// credentialsFile holds users and the hashes of their passwords. It is
	// read at every sign-in, so a change counts at once.
	credentialsFile = "credentials.json"
	// clientFile is what a client needs to sign in, as librdkafka, kcat and
	// the Java client read it.
	clientFile = "client.properties"

	firstUser          = "decoder"
	credentialsVersion = 1
)

// credentialsDocument is the content of credentialsFile.
type credentialsDocument struct {
	Version int                                `json:"version"`
	Users   map[string]map[string]scram.Secret `json:"users"` // by name and mechanism
}

// credentials signs users of the folder's credentials in.
type credentials struct {
	dir string
	key []byte // of decoys
}

func newCredentials(dir string) credentials {
	c := credentials{dir: dir, key: make([]byte, 32)}
	_, _ = rand.Read(c.key) // never fails
	return c
}

// Mechanisms implements wire.SignIn.
func (c credentials) Mechanisms() []string { return scram.Mechanisms() }

// Begin implements wire.SignIn.
func (c credentials) Begin(mechanism string) wire.Exchange {
	return scram.Begin(mechanism, func(user, mechanism string) (scram.Secret, bool) {
		doc, err := readCredentials(c.dir)
		if err != nil {
			return scram.Secret{}, false
		}
		s, ok := doc.Users[user][mechanism]
		return s, ok
	}, c.key)
}

func readCredentials(dir string) (credentialsDocument, error) {
	doc := credentialsDocument{Version: credentialsVersion}
	b, err := os.ReadFile(filepath.Join(dir, credentialsFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	} else if err == nil {
		err = json.Unmarshal(b, &doc)
	}
	if doc.Users == nil { // none yet, or "users": null
		doc.Users = map[string]map[string]scram.Secret{}
	}
	if err == nil && doc.Version > credentialsVersion {
		err = fmt.Errorf("version %d is newer than this program", doc.Version)
	}
	if err != nil {
		return doc, fmt.Errorf("reading credentials: %w", err)
	}
	return doc, nil
}

// SetPassword gives a user of the data folder's log a password, or a new one;
// "" takes the user out. Running brokers follow at once.
func SetPassword(dataDir, user, password string) error {
	doc, err := readCredentials(dataDir)
	if err != nil {
		return err
	}
	delete(doc.Users, user)
	if password != "" {
		doc.Users[user] = map[string]scram.Secret{}
		for _, m := range scram.Mechanisms() {
			if doc.Users[user][m], err = scram.NewSecret(m, password); err != nil {
				return err
			}
		}
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return fmt.Errorf("encoding credentials: %w", err)
	}
	return atomicfile.WriteDurable(filepath.Join(dataDir, credentialsFile), b)
}

// ensureCredentials makes the first user and the file its clients use. The
// file is written again when the address has changed, and otherwise left as it
// is: it may hold more, such as where a certificate lies.
func ensureCredentials(cfg Config, addr string) error {
	path := filepath.Join(cfg.DataDir, clientFile)
	if cfg.Advertise != "" {
		addr = cfg.Advertise
	}
	doc, err := readCredentials(cfg.DataDir)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	password := propertyOf(old, "sasl.password")
	if len(doc.Users) > 0 && (password == "" || propertyOf(old, "sasl.username") != firstUser) {
		return nil // users of the operator's own
	}
	if len(doc.Users) == 0 {
		var b [24]byte
		_, _ = rand.Read(b[:]) // never fails
		password = base64.RawURLEncoding.EncodeToString(b[:])
		if err := SetPassword(cfg.DataDir, firstUser, password); err != nil {
			return err
		}
	}
	text := clientProperties(addr, cfg.TLS != nil, password)
	for _, name := range []string{"bootstrap.servers", "security.protocol", "sasl.password"} {
		if propertyOf(old, name) != propertyOf([]byte(text), name) {
			return atomicfile.WriteDurable(path, []byte(text))
		}
	}
	return nil
}
