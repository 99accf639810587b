package notify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/state"
)

// Schema is the database of what has been told. It is derived as far as it may
// be begun anew: what is then told a second time is not lost.
func Schema() state.Schema {
	return state.Schema{
		Name: "notify", Application: 0x44634e74, Derived: true, // "DcNt"
		Migrations: []string{`
			CREATE TABLE told(
				destination TEXT NOT NULL,
				grp BLOB NOT NULL,         -- SHA-256 of the alert group, its first half
				severity INTEGER NOT NULL, -- the highest told of
				at INTEGER NOT NULL,       -- ms since 1970
				PRIMARY KEY(destination, grp)
			) STRICT, WITHOUT ROWID;
			CREATE TABLE destination(
				name TEXT PRIMARY KEY,
				told INTEGER NOT NULL, -- ms since 1970, of the last message; 0: none
				sending TEXT NOT NULL  -- a message that may have been sent, as JSON; '': none
			) STRICT, WITHOUT ROWID;`},
	}
}

// maxTold bounds the groups remembered; of more, the oldest are forgotten, and
// told of again when they come again.
const maxTold = 20_000

type groupKey [16]byte

func keyOf(group string) (k groupKey) {
	sum := sha256.Sum256([]byte(group))
	copy(k[:], sum[:])
	return k
}

type telling struct {
	rank int
	at   time.Time
}

// memory is what a destination has been told.
type memory struct {
	db   *state.DB
	name string

	loaded  bool
	groups  map[groupKey]telling
	last    time.Time // of the last message
	sending *message  // noted before it was sent by a process that did not end in order
}

// codeMemory is the code of a database that cannot be read.
const codeMemory = "memory"

// load reads the memory, once. That it cannot be read is no record's fault.
func (m *memory) load(ctx context.Context) error {
	if m.loaded {
		return nil
	}
	if err := m.read(ctx); err != nil {
		return fault.NewThrottled(codeMemory, aWhile, fmt.Errorf("reading what was told: %w", err))
	}
	m.loaded = true
	return nil
}

func (m *memory) read(ctx context.Context) error {
	m.groups = map[groupKey]telling{}
	rows, err := m.db.Read().QueryContext(ctx, "SELECT grp, severity, at FROM told WHERE destination = ?", m.name)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			key  []byte
			rank int
			at   int64
			k    groupKey
		)
		if err := rows.Scan(&key, &rank, &at); err != nil {
			return err
		}
		copy(k[:], key)
		m.groups[k] = telling{rank, time.UnixMilli(at)}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var (
		told    int64
		sending string
	)
	err = m.db.Read().QueryRowContext(ctx, "SELECT told, sending FROM destination WHERE name = ?", m.name).Scan(&told, &sending)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if told > 0 {
		m.last = time.UnixMilli(told)
	}
	if sending != "" {
		m.sending = &message{}
		if json.Unmarshal([]byte(sending), m.sending) != nil {
			m.sending = nil // it is told under another id then
		}
	}
	return nil
}

// knows reports whether the group has been told of with this severity, or a
// higher, within the time before now; at is when, the zero time if it never was.
// What a wrong clock has put into the future is not known: nobody would be told
// until then.
func (m *memory) knows(group string, rank int, now time.Time, within time.Duration) (known bool, at time.Time) {
	t, told := m.groups[keyOf(group)]
	if !told {
		return false, time.Time{}
	}
	age := now.Sub(t.at)
	return rank <= t.rank && age >= 0 && age < within, t.at
}

// due reports whether the time has passed since the last message. One in the
// future was of a wrong clock.
func (m *memory) due(now time.Time, every time.Duration) bool {
	age := now.Sub(m.last)
	return age < 0 || age >= every
}

// begin notes that a message is about to be sent.
func (m *memory) begin(ctx context.Context, msg *message) error {
	text, err := json.Marshal(msg)
	if err != nil {
		return fmt.Errorf("noting a message: %w", err)
	}
	return m.db.Write(ctx, func(tx *sql.Tx) error { return m.note(ctx, tx, string(text)) })
}

func (m *memory) note(ctx context.Context, tx *sql.Tx, sending string) error {
	told := int64(0)
	if !m.last.IsZero() {
		told = m.last.UnixMilli()
	}
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO destination(name, told, sending) VALUES(?, ?, ?)", m.name, told, sending)
	if err != nil {
		return fmt.Errorf("noting a message: %w", err)
	}
	return nil
}

// tell remembers that the message has arrived, and forgets groups told of
// before the moment: here in any case, in the database if it takes it.
func (m *memory) tell(ctx context.Context, msg *message, now, since time.Time) error {
	m.last = now
	told := map[groupKey]telling{}
	for group, rank := range msg.Groups {
		k := keyOf(group)
		told[k] = telling{rank, now}
		m.groups[k] = told[k]
	}
	gone := m.forget(since)
	return m.db.Write(ctx, func(tx *sql.Tx) error {
		for k, t := range told {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO told(destination, grp, severity, at) VALUES(?, ?, ?, ?)", m.name, k[:], t.rank, t.at.UnixMilli()); err != nil {
				return fmt.Errorf("remembering what was told: %w", err)
			}
		}
		for _, k := range gone {
			if _, err := tx.ExecContext(ctx, "DELETE FROM told WHERE destination = ? AND grp = ?", m.name, k[:]); err != nil {
				return fmt.Errorf("forgetting what was told: %w", err)
			}
		}
		return m.note(ctx, tx, "")
	})
}

// forget drops what is too old to matter, and the oldest of too many.
func (m *memory) forget(since time.Time) (gone []groupKey) {
	for k, t := range m.groups {
		if !t.at.After(since) {
			gone = append(gone, k)
		}
	}
	if more := len(m.groups) - len(gone) - maxTold; more > 0 {
		var kept []groupKey
		for k, t := range m.groups {
			if t.at.After(since) {
				kept = append(kept, k)
			}
		}
		slices.SortFunc(kept, func(a, b groupKey) int {
			return cmp.Or(m.groups[a].at.Compare(m.groups[b].at), slices.Compare(a[:], b[:]))
		})
		gone = append(gone, kept[:more]...)
	}
	for _, k := range gone {
		delete(m.groups, k)
	}
	return gone
}
