package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/decodersring/decoder/internal/state"
)

// Schema is the database of users and their sessions.
func Schema() state.Schema {
	return state.Schema{
		Name: "users", Application: 0x44635573, // "DcUs"
		Migrations: []string{`
			CREATE TABLE user(
				name TEXT PRIMARY KEY, role TEXT NOT NULL, hash TEXT NOT NULL,
				created INTEGER NOT NULL, changed INTEGER NOT NULL
			) STRICT, WITHOUT ROWID;
			CREATE TABLE session(
				token BLOB PRIMARY KEY, user TEXT NOT NULL REFERENCES user(name) ON DELETE CASCADE,
				created INTEGER NOT NULL, used INTEGER NOT NULL
			) STRICT, WITHOUT ROWID;
			CREATE INDEX session_user ON session(user, used);`},
	}
}

// Admin is the user that the first start makes.
const Admin = "admin"

const (
	roleAdmin = "admin"

	// sessionIdle and sessionLife end a session that is not used, and any.
	sessionIdle = 7 * 24 * time.Hour
	sessionLife = 30 * 24 * time.Hour
	// sessionTouch is how exactly the time of the last use is kept.
	sessionTouch = time.Hour
	maxSessions  = 50 // of one user; the one unused the longest gives way

	minPassword, maxPassword = 12, 200 // characters
)

// users are those who may sign in.
type users struct {
	db   *state.DB
	now  func() time.Time
	hash sync.Mutex // one at a time: each takes argonMemory
}

// FirstPassword makes the user admin with a generated password when there is
// no user yet, and returns the password; "" when there is one.
func FirstPassword(ctx context.Context, db *state.DB) (string, error) {
	u := users{db: db, now: time.Now}
	password := newPassword()
	hash := u.hashed(password)
	made := false
	err := db.Write(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM user").Scan(&n); err != nil || n > 0 {
			return err
		}
		now := u.now().Unix()
		_, err := tx.ExecContext(ctx, "INSERT INTO user(name, role, hash, created, changed) VALUES(?, ?, ?, ?, ?)", Admin, roleAdmin, hash, now, now)
		made = err == nil
		return err
	})
	if err != nil {
		return "", fmt.Errorf("making the first user: %w", err)
	}
	if !made {
		return "", nil
	}
	return password, nil
}

// newPassword returns 80 random bits as four groups a person can type.
func newPassword() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789" // none that look alike
	out := make([]byte, 0, 19)
	for i := 0; len(out) < 19; i++ {
		var b [1]byte
		_, _ = rand.Read(b[:]) // never fails since Go 1.24
		if int(b[0]) >= 256/len(letters)*len(letters) {
			continue // would favour the first letters
		}
		if len(out)%5 == 4 {
			out = append(out, '-')
		}
		out = append(out, letters[int(b[0])%len(letters)])
	}
	return string(out)
}

// The cost of a hash: OWASP's second choice for argon2id, 19 MiB.
const (
	argonTime, argonMemory, argonThreads = 2, 19 << 10, 1
	argonPrefix                          = "$argon2id$v=19$m=19456,t=2,p=1$"
)

func (u *users) hashed(password string) string {
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails since Go 1.24
	enc := base64.RawStdEncoding
	return argonPrefix + enc.EncodeToString(salt[:]) + "$" + enc.EncodeToString(u.derive(password, salt[:]))
}

func (u *users) derive(password string, salt []byte) []byte {
	u.hash.Lock()
	defer u.hash.Unlock()
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, 32)
}

// matches compares in constant time. An unknown hash matches nothing, and
// takes as long.
func (u *users) matches(password, hash string) bool {
	saltText, keyText, ok := strings.Cut(strings.TrimPrefix(hash, argonPrefix), "$")
	ok = ok && strings.HasPrefix(hash, argonPrefix)
	salt, err := base64.RawStdEncoding.DecodeString(saltText)
	key, err2 := base64.RawStdEncoding.DecodeString(keyText)
	got := u.derive(password, salt)
	return ok && err == nil && err2 == nil && subtle.ConstantTimeCompare(got, key) == 1
}

// check says whether the password is the user's.
func (u *users) check(ctx context.Context, name, password string) (bool, error) {
	if utf8.RuneCountInString(password) > maxPassword {
		return false, nil
	}
	var hash string
	err := u.db.Read().QueryRowContext(ctx, "SELECT hash FROM user WHERE name = ?", name).Scan(&hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("looking for user: %w", err)
	}
	return u.matches(password, hash), nil
}

// setPassword changes a user's password and ends all their sessions.
func (u *users) setPassword(ctx context.Context, name, password string) error {
	hash := u.hashed(password)
	return u.db.Write(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "UPDATE user SET hash = ?, changed = ? WHERE name = ?", hash, u.now().Unix(), name)
		if err != nil {
			return fmt.Errorf("setting password: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, NotFound("user", name))
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM session WHERE user = ?", name); err != nil {
			return fmt.Errorf("ending sessions: %w", err)
		}
		return nil
	})
}

// begin makes a session and returns its token. What is stored of it is a
// hash: who reads the file gets no session.
func (u *users) begin(ctx context.Context, name string) (token string, expires time.Time, err error) {
	token = rand.Text() + rand.Text()
	now := u.now()
	err = u.db.Write(ctx, func(tx *sql.Tx) error {
		if err := u.prune(ctx, tx, name, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO session(token, user, created, used) VALUES(?, ?, ?, ?)", digest(token), name, now.Unix(), now.Unix())
		return err
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("beginning session: %w", err)
	}
	return token, now.Add(sessionLife), nil
}

func (u *users) prune(ctx context.Context, tx *sql.Tx, name string, now time.Time) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM session WHERE created < ? OR used < ?",
		now.Add(-sessionLife).Unix(), now.Add(-sessionIdle).Unix()); err != nil {
		return fmt.Errorf("removing old sessions: %w", err)
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM session WHERE token IN
		(SELECT token FROM session WHERE user = ? ORDER BY used DESC LIMIT -1 OFFSET ?)`, name, maxSessions-1)
	return err
}

func digest(token string) []byte {
	d := sha256.Sum256([]byte(token))
	return d[:]
}

// find returns the session of a token.
func (u *users) find(ctx context.Context, token string) (Session, error) {
	var (
		s             Session
		created, used int64
	)
	err := u.db.Read().QueryRowContext(ctx, "SELECT user, created, used FROM session WHERE token = ?", digest(token)).Scan(&s.User, &created, &used)
	now := u.now()
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s, errSignIn
	case err != nil:
		return s, fmt.Errorf("looking for session: %w", err)
	}
	s.Expires = time.Unix(created, 0).Add(sessionLife)
	if now.After(s.Expires) || now.Sub(time.Unix(used, 0)) > sessionIdle {
		return s, errSignIn
	}
	if now.Sub(time.Unix(used, 0)) > sessionTouch {
		if err := u.db.Write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE session SET used = ? WHERE token = ?", now.Unix(), digest(token))
			return err
		}); err != nil {
			return s, fmt.Errorf("noting use of session: %w", err)
		}
	}
	return s, nil
}

func (u *users) end(ctx context.Context, token string) error {
	return u.db.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM session WHERE token = ?", digest(token))
		return err
	})
}

// signedIn returns the user of a request's session.
func (u *users) signedIn(r *http.Request) (string, error) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return "", errSignIn
	}
	s, err := u.find(r.Context(), c.Value)
	return s.User, err
}
