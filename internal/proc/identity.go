package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
)

// Identity tells a process from every other of this machine, before or after
// it: a pid is used again, a pid with its start time and boot is not.
type Identity struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // clock ticks since boot, /proc/PID/stat field 22
	Boot    string `json:"boot"`    // /proc/sys/kernel/random/boot_id
}

// Identify returns the identity of the process that has the pid now.
func Identify(pid int) (Identity, error) {
	started, state, err := stat(pid)
	if err != nil {
		return Identity{PID: pid}, err
	}
	if state == 'Z' || state == 'X' {
		return Identity{PID: pid}, fmt.Errorf("identifying process %d: %w", pid, os.ErrProcessDone)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{PID: pid}, fmt.Errorf("reading the boot id: %w", err)
	}
	return Identity{PID: pid, Started: started, Boot: strings.TrimSpace(string(boot))}, nil
}

// Alive says whether that very process still runs.
func (id Identity) Alive() bool {
	if id.PID <= 1 || id.Boot == "" {
		return false
	}
	now, err := Identify(id.PID)
	return err == nil && now == id
}

// stat reads start time and state of a process. The name in the second field
// may hold spaces and brackets, so fields are counted from the last bracket.
func stat(pid int) (started uint64, state byte, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 20 {
		return 0, 0, fmt.Errorf("identifying process %d: unexpected stat line", pid)
	}
	started, err = strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("identifying process %d: %w", pid, err)
	}
	return started, f[0][0], nil
}

// Adopt takes over a process started by an earlier run of the program. Its
// output, in the file given, is read on from its present end. It reports
// false when the process no longer runs.
func Adopt(id Identity, output string, line func(string)) (*Process, bool) {
	if !id.Alive() {
		return nil, false
	}
	p := &Process{id: id, done: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for t := time.NewTicker(100 * time.Millisecond); id.Alive(); <-t.C {
		}
	}()
	go func() {
		followFrom(output, -1, line, ended)
		close(p.done)
	}()
	return p, true
}

// ErrNoRecord is returned by ReadRecord when there is no usable record.
var ErrNoRecord = errors.New("no record of a process")

// Record is what a pid file holds: the process and what it was started with.
type Record struct {
	Identity
	Config string `json:"config"` // hash of the configuration it was started with
	Loaded string `json:"loaded"` // hash of what it has loaded since, as rules
}

// WriteRecord writes a pid file.
func WriteRecord(path string, r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return atomicfile.Write(path, append(b, '\n'))
}

// ReadRecord reads a pid file. A missing or torn one is ErrNoRecord.
func ReadRecord(path string) (Record, error) {
	var r Record
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &r) != nil {
		return Record{}, fmt.Errorf("reading %s: %w", path, ErrNoRecord)
	}
	return r, nil
}
