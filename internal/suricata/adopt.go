package suricata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/decodersring/decoder/internal/proc"
)

// obtain returns a running engine with the wanted configuration.
func (l *Live) obtain(ctx context.Context) (p *proc.Process, adopted bool, err error) {
	binary, err := l.opts.Find(ctx)
	if err != nil {
		return nil, false, err
	}
	rules, err := l.opts.Rules()
	if err != nil {
		return nil, false, err
	}
	loaded, err := rules.Hash()
	if err != nil {
		return nil, false, err
	}
	socket, err := SocketPath(l.opts.Dir)
	if err != nil {
		return nil, false, err
	}
	c := l.opts.Config
	c.Dir, c.Socket, c.Rules, c.Major = l.opts.Eve, socket, rules, binary.Major
	text, err := Generate(c)
	if err != nil {
		return nil, false, err
	}
	sum := sha256.Sum256([]byte(binary.Path + "\n" + binary.Version + "\n" + text))
	want := proc.Record{Config: hex.EncodeToString(sum[:]), Loaded: loaded}
	l.mu.Lock()
	l.status.Version = binary.Version
	l.mu.Unlock()

	output := filepath.Join(l.opts.Dir, "engine.log")
	if p := l.adopt(ctx, want, socket, output); p != nil {
		return p, true, nil
	}
	p, err = l.start(binary, text, socket, output, want)
	return p, false, err
}

// adopt returns the engine an earlier run left watching, when it runs under
// the wanted configuration and answers; another one it ends.
func (l *Live) adopt(ctx context.Context, want proc.Record, socket, output string) *proc.Process {
	have, err := proc.ReadRecord(l.pidPath())
	if err != nil {
		l.endUnrecorded(ctx, socket)
		return nil
	}
	p, alive := proc.Adopt(have.Identity, output, l.output.line)
	if !alive {
		return nil
	}
	if have.Config == want.Config {
		if c, err := Dial(ctx, socket); err == nil {
			c.Close()
			l.keep(p, have, true)
			return p
		}
	}
	l.log.Info("engine of an earlier run is ended", "pid", have.PID, "same_configuration", have.Config == want.Config)
	p.Stop(stopGrace)
	_ = os.Remove(l.pidPath())
	if l.opts.Ended != nil {
		l.opts.Ended("the engine is started anew with another configuration", true)
	}
	return nil
}

// endUnrecorded ends an engine that was started when the program was killed
// before it could note the pid.
func (l *Live) endUnrecorded(ctx context.Context, socket string) {
	c, err := Dial(ctx, socket)
	if err != nil {
		return
	}
	defer c.Close()
	l.log.Warn("engine without a pid file is ended")
	_, _ = c.Do(ctx, "shutdown", nil)
	for range 100 {
		other, err := Dial(ctx, socket)
		if err != nil {
			return
		}
		other.Close()
		l.sleep(ctx, 100*time.Millisecond)
	}
}

func (l *Live) start(b Binary, text, socket, output string, want proc.Record) (*proc.Process, error) {
	if l.opts.BeforeStart != nil {
		if err := l.opts.BeforeStart(); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(l.opts.Dir, "suricata.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("writing the engine's configuration: %w", err)
	}
	_ = os.Remove(socket)
	l.output.forget()
	p, err := proc.Start(proc.Command{
		Path: b.Path,
		Args: []string{"-c", path, "--af-packet=" + l.opts.Config.Interface, "-l", l.opts.Eve},
		Dir:  l.opts.Dir, Line: l.output.line,
		Detached: true, Output: output, Capabilities: captureCapabilities(),
	})
	if err != nil {
		return nil, err
	}
	want.Identity = p.ID()
	if err := proc.WriteRecord(l.pidPath(), want); err != nil {
		p.Kill()
		return nil, err
	}
	l.keep(p, want, false)
	return p, nil
}

func (l *Live) keep(p *proc.Process, r proc.Record, adopted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record, l.status.PID, l.status.Adopted = r, p.ID().PID, adopted
}
