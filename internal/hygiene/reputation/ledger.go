package reputation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/state"
)

// Schema is the database of what services have been asked, which no log could
// tell again.
func Schema() state.Schema {
	return state.Schema{
		Name: "services", Application: 0x44635376, // "DcSv"
		Migrations: []string{`
			CREATE TABLE account(
				service TEXT PRIMARY KEY,
				day INTEGER NOT NULL,    -- since 1970, UTC, that spent counts
				spent INTEGER NOT NULL,  -- calls, and those reserved
				paused INTEGER NOT NULL, -- ms since 1970: no call before
				opened INTEGER NOT NULL  -- ms since 1970: the breaker is open until
			) STRICT, WITHOUT ROWID;`},
	}
}

// account is what a service's limits have come to. A restart must not forget
// it: the service does not.
type account struct {
	day    int
	spent  int
	paused time.Time // no call before
	opened time.Time // the breaker is open until
}

// reserve is how many calls are noted ahead of being made, so that not each
// costs a write: a crash forgets that they were not made, never that they were.
func reserve(quota int) int { return max(1, quota/50) }

const ledgerTimeout = 5 * time.Second

// Restore reads what was spent before, and has it noted from now on. It is
// called once, before the first question.
func (s *Services) Restore(ctx context.Context, db *state.DB) error {
	for _, g := range s.guarded {
		a, err := load(ctx, db, g.provider.Name())
		if err != nil {
			return err
		}
		g.restore(a, func(a account) error {
			ctx, cancel := context.WithTimeout(context.Background(), ledgerTimeout)
			defer cancel()
			return store(ctx, db, g.provider.Name(), a)
		})
	}
	return nil
}

// Run waits for the end, and then notes what was really spent.
func (s *Services) Run(ctx context.Context) error {
	<-ctx.Done()
	for _, g := range s.guarded {
		g.mu.Lock()
		g.noted = g.spent
		g.note()
		g.mu.Unlock()
	}
	return nil
}

func load(ctx context.Context, db *state.DB, service string) (account, error) {
	var a account
	var paused, opened int64
	err := db.Read().QueryRowContext(ctx, "SELECT day, spent, paused, opened FROM account WHERE service = ?", service).Scan(&a.day, &a.spent, &paused, &opened)
	if errors.Is(err, sql.ErrNoRows) {
		return account{}, nil
	}
	if err != nil {
		return account{}, fmt.Errorf("reading the account of service %s: %w", service, err)
	}
	a.paused, a.opened = time.UnixMilli(paused), time.UnixMilli(opened)
	return a, nil
}

func store(ctx context.Context, db *state.DB, service string, a account) error {
	return db.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO account(service, day, spent, paused, opened) VALUES(?, ?, ?, ?, ?)
			ON CONFLICT(service) DO UPDATE SET day = excluded.day, spent = excluded.spent, paused = excluded.paused, opened = excluded.opened`,
			service, a.day, a.spent, millis(a.paused), millis(a.opened))
		if err != nil {
			return fmt.Errorf("writing the account of service %s: %w", service, err)
		}
		return nil
	})
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// restore takes over an account; save keeps one.
func (g *guarded) restore(a account, save func(account) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.account, g.noted, g.save = a, a.spent, save
	// A clock that was ahead must not silence the service for longer than
	// could have been meant.
	if latest := g.now().Add(maxPause); g.paused.After(latest) {
		g.paused = latest
	}
	if latest := g.now().Add(breakerTimeout); g.opened.After(latest) {
		g.opened = latest
	}
	if g.limits.Quota > 0 {
		g.scope.Set("service/"+g.provider.Name(), obs.OK, fmt.Sprintf("not asked yet; %d of %d calls today", g.spentOn(g.today()), g.limits.Quota))
	}
}

// note keeps the account with noted calls spent; g.mu is held, so that an
// older account never comes after a newer one. A disk that takes nothing is no
// reason to ask nobody.
func (g *guarded) note() {
	if g.save == nil {
		return
	}
	a := g.account
	a.spent = g.noted
	if err := g.save(a); err != nil {
		g.scope.Logger().Warn("what a service was asked is not noted, a restart will forget it", "service", g.provider.Name(), "err", err)
	}
}

// today is the day in UTC, since 1970.
func (g *guarded) today() int { return int(g.now().Unix() / 86400) }

func (g *guarded) spentOn(day int) int {
	if g.day != day {
		return 0
	}
	return g.spent
}

// spend takes one call of the day's quota.
func (g *guarded) spend() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if today := g.today(); today != g.day {
		g.day, g.spent, g.noted = today, 0, 0
	}
	quota := g.limits.Quota
	if quota > 0 && g.spent >= quota {
		return fault.NewThrottled(CodeQuota, time.Hour, errQuota)
	}
	g.spent++
	if quota > 0 && g.spent > g.noted {
		g.noted = min(g.spent+reserve(quota)-1, quota)
		g.note()
	}
	return nil
}

// pause leaves the service alone for a time it asked for.
func (g *guarded) pause(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := g.now().Add(min(max(d, time.Second), maxPause)); until.After(g.paused) {
		g.paused = until
		g.note()
	}
}

func (g *guarded) pausedFor() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.paused.Sub(g.now())
}

// open notes that the breaker has opened.
func (g *guarded) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = g.now().Add(breakerTimeout)
	g.note()
}

// wasOpen reports whether the breaker is open since before a restart.
func (g *guarded) wasOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now().Before(g.opened)
}
