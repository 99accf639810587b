package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
)

// Format is the version of the data folder's layout. A newer one is refused,
// an older one migrated.
const Format = 1

const formatLine = "decoder data folder, format %d\n"

// DefaultDataDir is where the data lies when nobody says: the system's place
// for root, the user's for everybody else (XDG Base Directory Specification).
func DefaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/decoder"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "decoder")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "decoder-data"
	}
	return filepath.Join(home, ".local", "share", "decoder")
}

// LogDir is where the embedded log of a data folder lies.
func LogDir(data string) string { return filepath.Join(data, "log") }

// lockWait is how long a start waits for the folder of an instance that is
// just ending, and settle how long one that answers is taken for ending: after
// a kill of the program its worker is there for a moment more.
const (
	lockWait = 10 * time.Second
	settle   = 2 * time.Second
)

// InUseError says that another process works on the data folder.
type InUseError struct {
	Dir string
	PID int // 0 when unknown
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("the data folder %s is in use by %s; talk to that instance (every command does, with the same --data), stop it, or give another folder with --data", e.Dir, who)
}

// dataDir is an open and locked data folder.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir creates the folder if it is missing, locks it for this process
// and checks its format. It returns an [InUseError] when another process holds
// it for longer than one that is ending would.
func openDataDir(ctx context.Context, path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("creating the data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data folder's lock: %w", err)
	}
	d := &dataDir{path: path, lock: lock}
	if err := d.acquire(ctx); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := d.checkFormat(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *dataDir) acquire(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("locking the data folder: %w", err)
		}
		if time.Since(began) > settle && d.holderAnswers() {
			return &InUseError{Dir: d.path, PID: d.holder()}
		}
		select {
		case <-ctx.Done():
			return &InUseError{Dir: d.path, PID: d.holder()}
		case <-tick.C:
		}
	}
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("writing the data folder's lock: %w", err)
	}
	if _, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("writing the data folder's lock: %w", err)
	}
	return nil
}

func (d *dataDir) holder() int {
	text := make([]byte, 16)
	n, _ := d.lock.ReadAt(text, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// holderAnswers tells an instance at work from one that is ending.
func (d *dataDir) holderAnswers() bool { return Running(d.path) }

func (d *dataDir) checkFormat() error {
	name := filepath.Join(d.path, "format")
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return atomicfile.WriteDurable(name, fmt.Appendf(nil, formatLine, Format))
	}
	if err != nil {
		return fmt.Errorf("reading the data folder's format: %w", err)
	}
	var version int
	if _, err := fmt.Sscanf(string(text), formatLine, &version); err != nil {
		return fmt.Errorf("%s does not name a format; is %s a data folder of this program?", name, d.path)
	}
	if version > Format {
		return fmt.Errorf("the data folder %s was written by a newer version of the program (format %d, this one knows %d); use that version or another folder", d.path, version, Format)
	}
	return nil
}

// instance returns the name that tells this data folder from those of other
// instances on a cluster. It is chosen once.
func (d *dataDir) instance() (string, error) {
	name := filepath.Join(d.path, "instance")
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte(strings.ToLower(rand.Text()[:10]) + "\n")
		err = atomicfile.WriteDurable(name, text)
	}
	if err != nil {
		return "", fmt.Errorf("reading the instance's name: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if !instanceName.MatchString(id) {
		return "", fmt.Errorf("%s holds no name of an instance; remove it to get another", name)
	}
	return id, nil
}

var instanceName = regexp.MustCompile(`^[a-z0-9]{1,40}$`)

// Close gives the folder back.
func (d *dataDir) Close() error { return d.lock.Close() }
