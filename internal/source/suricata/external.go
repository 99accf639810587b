package suricata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"

	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/tail"
)

// Follower reads the EVE file of an engine that somebody else runs.
type Follower struct {
	scope  obs.Scope
	tail   *tail.Tail
	health *health
}

// NewFollower returns a Follower of the EVE file at the absolute path eve, that
// does nothing until Run. Of the options it takes Dir, Topic and Sensor; several
// followers may share a Dir.
func NewFollower(eve string, o Options, d Deps) (*Follower, error) {
	name := component + " " + eve
	f := &Follower{scope: d.Scope, health: newHealth(d.Scope, name)}
	sum := sha256.Sum256([]byte(eve))
	var err error
	f.tail, err = tail.New(tail.Options{
		Component: name, Path: eve, Bookmark: filepath.Join(o.Dir, hex.EncodeToString(sum[:4])+".bookmark.json"),
		Prefix: "suricata:eve", Topic: o.Topic, Key: o.Sensor, Line: f.health.see,
	}, tail.Deps{Log: d.Log, Origins: d.Origins, Scope: d.Scope})
	return f, err
}

// Run reads until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	f.health.register(f.scope)
	return f.tail.Run(ctx)
}

// Status returns how the sensor stands; of the engine only its statistics are
// known.
func (f *Follower) Status() Status {
	totals, recent := f.health.read()
	return Status{Eve: f.tail.Status(), Totals: totals, Recent: recent}
}
