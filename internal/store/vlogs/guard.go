package vlogs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/store"
)

// guard moves a partition (the files of a day) aside that the process died on.
//
// The library ends the process when it meets damaged files, which it may do
// on every start. Its last line names the file; the guard notes the day in it.
// When the process dies on the same day twice in a row, the next start moves
// the day to the folder "damaged", and says so. What is
// no damage (a full disk, no permission, too many open files) is not noted.
type guard struct {
	folder  string // with the partitions
	aside   string // where damaged days go
	note    string // the file with the deaths
	current sync.Mutex
}

// deaths says on which day's files the process last died, and how often in a
// row.
type deaths struct {
	Day   string `json:"day"`
	Times int    `json:"times"`
	Text  string `json:"text"`
	PID   int    `json:"pid"` // of the process that died last: one death is noted once
}

// deathsAllowed is how often in a row the process may die on a day's files
// before they are moved aside: once may be chance.
const deathsAllowed = 1

func newGuard(dir, name string) *guard {
	return &guard{
		folder: filepath.Join(dir, name),
		aside:  filepath.Join(dir, "damaged"),
		note:   filepath.Join(dir, name+"-deaths.json"),
	}
}

func (g *guard) read() (deaths, error) {
	var d deaths
	b, err := os.ReadFile(g.note)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	if json.Unmarshal(b, &d) != nil { // torn: a death that could not be noted
		return deaths{}, nil
	}
	return d, nil
}

var partitionPath = regexp.MustCompile(`/partitions/(\d{8})\b`)

// dying notes what the library dies with. It is called in the moment before.
func (g *guard) dying(text string) {
	m := partitionPath.FindStringSubmatch(text)
	if m == nil || !strings.Contains(text, g.folder+"/") {
		return
	}
	g.current.Lock() // several goroutines may die at once
	defer g.current.Unlock()
	for _, s := range []string{"no space left", "permission denied", "too many open files", "quota exceeded", "read-only file system"} {
		if strings.Contains(text, s) {
			return
		}
	}
	d, err := g.read()
	if err != nil || d.PID == os.Getpid() && d.Day == m[1] {
		return
	}
	if d.Day != m[1] {
		d = deaths{Day: m[1]}
	}
	d.Times++
	d.PID = os.Getpid()
	d.Text = text[:min(len(text), 1000)]
	_ = atomicfile.WriteJSON(g.note, d) // nobody left to tell
}

// survived forgets the deaths: what was noted did not repeat.
func (g *guard) survived() error {
	err := os.Remove(g.note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// moveAside moves the day that the process died on repeatedly, if there is one.
func (g *guard) moveAside() (*store.Damaged, error) {
	d, err := g.read()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", g.note, err)
	}
	if d.Times <= deathsAllowed {
		return nil, nil
	}
	from := filepath.Join(g.folder, "partitions", d.Day)
	moved := store.Damaged{Day: d.Day, Reason: d.Text, Moved: time.Now().UTC().Truncate(time.Second)}
	moved.Folder = filepath.Join(g.aside, filepath.Base(g.folder)+"-"+d.Day+"-"+moved.Moved.Format("20060102T150405Z"))
	if err := os.MkdirAll(g.aside, 0o700); err != nil {
		return nil, fmt.Errorf("moving damaged files aside: %w", err)
	}
	if err := os.Rename(from, moved.Folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("moving damaged files aside: %w", err)
	}
	if err := atomicfile.WriteJSON(moved.Folder+".json", moved); err != nil {
		return nil, fmt.Errorf("noting damaged files: %w", err)
	}
	return &moved, g.survived()
}

// damaged lists the days that were moved aside and not dealt with since.
func (g *guard) damaged() ([]store.Damaged, error) {
	notes, err := filepath.Glob(filepath.Join(g.aside, filepath.Base(g.folder)+"-*.json"))
	if err != nil {
		return nil, err
	}
	var all []store.Damaged
	for _, note := range notes {
		b, err := os.ReadFile(note)
		if err != nil {
			return nil, err
		}
		var d store.Damaged
		if err := json.Unmarshal(b, &d); err != nil {
			return nil, fmt.Errorf("reading %s: %w", note, err)
		}
		all = append(all, d)
	}
	return all, nil
}
