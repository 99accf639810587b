package machine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is the machine at one moment; sizes in bytes, CPU in clock ticks of
// all CPUs since the machine's start.
type sample struct {
	at                           time.Time
	diskTotal, diskFree          int64
	memoryTotal, memoryAvailable int64
	cpuBusy, cpuTotal            int64
}

func readSample(dir string) (sample, error) {
	s := sample{at: time.Now()}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return s, fmt.Errorf("asking for the disk of %s: %w", dir, err)
	}
	s.diskTotal = int64(disk.Blocks) * disk.Bsize
	s.diskFree = int64(disk.Bavail) * disk.Bsize
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return s, fmt.Errorf("reading memory: %w", err)
	}
	cpu, err := os.ReadFile("/proc/stat")
	if err != nil {
		return s, fmt.Errorf("reading CPU times: %w", err)
	}
	return s, errors.Join(s.memory(string(memory)), s.cpu(string(cpu)))
}

func (s *sample) memory(text string) error {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		to := map[string]*int64{"MemTotal:": &s.memoryTotal, "MemAvailable:": &s.memoryAvailable}[fields[0]]
		if to == nil {
			continue
		}
		kibibytes, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return fmt.Errorf("reading memory: %w", err)
		}
		*to = kibibytes << 10
	}
	if s.memoryTotal == 0 {
		return errors.New("reading memory: no MemTotal")
	}
	return nil
}

// cpu adds up the first line of /proc/stat: user, nice, system, idle, iowait,
// irq, softirq, steal. What follows is contained in these.
func (s *sample) cpu(text string) error {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 5 || fields[0] != "cpu" {
		return errors.New("reading CPU times: no line of all CPUs")
	}
	for i, field := range fields[1:min(len(fields), 9)] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return fmt.Errorf("reading CPU times: %w", err)
		}
		s.cpuTotal += ticks
		if i != 3 && i != 4 { // idle and waiting for the disk
			s.cpuBusy += ticks
		}
	}
	return nil
}
