// Package doctor looks at what the sensor needs of its machine and says what
// is missing or wrong and how to mend it. It changes nothing, and needs no
// running instance.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/decodersring/decoder/internal/proc"
	"github.com/decodersring/decoder/internal/suricata"
)

// Level is how bad a finding is.
type Level string

// The levels of a finding.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, but less well or for less than one may think
	Fail Level = "fail" // it does not work
)

// Finding is what a check found.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Mend    string `json:"mend,omitempty"` // what to do about it
}

// Options say what is looked at.
type Options struct {
	Data      string        // data folder, which need not exist
	Interface string        // suricata.DefaultInterface when ""
	Listen    []string      // TCP addresses the program is to listen on; none while an instance runs
	Observe   time.Duration // how long the interface is watched; 5 s when 0
}

// Run makes every check and returns what they found, in a fixed order.
func Run(ctx context.Context, o Options) []Finding {
	if o.Observe == 0 {
		o.Observe = 5 * time.Second
	}
	var err error
	if o.Interface == "" {
		o.Interface, err = suricata.DefaultInterface()
	}
	out := []Finding{engine(ctx), updater(), watched(o.Interface, err)}
	if o.Interface != "" {
		may := captureRight(o.Interface)
		if out = append(out, may); may.Level == OK {
			out = append(out, sight(ctx, o.Interface, o.Observe))
		}
	}
	out = append(out, folder(o.Data), disk(o.Data), memory())
	for _, address := range o.Listen {
		out = append(out, port(address))
	}
	return out
}

// Worst is the worst level among findings.
func Worst(all []Finding) Level {
	worst := OK
	for _, f := range all {
		if f.Level == Fail || worst == OK {
			worst = f.Level
		}
	}
	return worst
}

func engine(ctx context.Context) Finding {
	const check = "suricata"
	b, err := suricata.Find(ctx)
	if err == nil {
		return Finding{check, OK, "Suricata " + b.Version + " at " + b.Path, ""}
	}
	mend := "install Suricata 7 or later"
	if suite := backports(); suite != "" {
		mend = "sudo apt-get install -t " + suite + " suricata"
	}
	if b.Path != "" {
		return Finding{check, Fail, err.Error(), mend}
	}
	return Finding{check, Fail, "Suricata is not installed: nothing can be watched or replayed", mend}
}

// backports returns the name of Debian's backports suite for this machine.
func backports() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	values := map[string]string{}
	for line := range strings.SplitSeq(string(b), "\n") {
		name, value, _ := strings.Cut(line, "=")
		values[name] = strings.Trim(value, `"`)
	}
	if values["ID"] != "debian" || values["VERSION_CODENAME"] == "" {
		return ""
	}
	return values["VERSION_CODENAME"] + "-backports"
}

func updater() Finding {
	const check = "suricata-update"
	path, err := proc.LookPath("suricata-update")
	if err != nil {
		return Finding{check, Warn, "suricata-update is not installed: only the starter rules and local files are used",
			"sudo apt-get install suricata-update"}
	}
	return Finding{check, OK, path, ""}
}

func watched(name string, err error) Finding {
	const check = "interface"
	if err != nil {
		return Finding{check, Fail, err.Error(), "name an interface: decoder doctor --interface NAME; see ip -brief link"}
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return Finding{check, Fail, fmt.Sprintf("interface %s is not there", name), "choose one of: ip -brief link"}
	}
	if i.Flags&net.FlagUp == 0 {
		return Finding{check, Fail, "interface " + name + " is down", "sudo ip link set " + name + " up"}
	}
	nets, err := suricata.HomeNet(name)
	if err != nil {
		return Finding{check, Fail, err.Error(), ""}
	}
	var text []string
	for _, p := range nets {
		text = append(text, p.String())
	}
	return Finding{check, OK, name + ", home networks " + strings.Join(text, ", "), ""}
}

func captureRight(name string) Finding {
	const check = "capture right"
	err := suricata.CheckCapture(name)
	if missing, ok := errors.AsType[*suricata.CaptureRightError](err); ok {
		return Finding{check, Fail, err.Error(), missing.Command()}
	}
	if err != nil {
		return Finding{check, Fail, err.Error(), ""}
	}
	return Finding{check, OK, "packets can be captured on " + name, ""}
}

// existing returns the nearest folder above that exists.
func existing(path string) string {
	for path != "/" && path != "." {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}

func folder(data string) Finding {
	const check = "data folder"
	dir := existing(data)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return Finding{check, Fail, fmt.Sprintf("%s cannot be written: %v", dir, err),
			"choose another with --data, or: sudo chown " + strconv.Itoa(os.Getuid()) + " " + dir}
	}
	return Finding{check, OK, data, ""}
}

const (
	gibibyte    = 1 << 30
	leastDisk   = 1 * gibibyte
	wantedDisk  = 20 * gibibyte
	leastMemory = 1 * gibibyte // the engine with its rules, while it loads new ones, and the program
)

func disk(data string) Finding {
	const check = "disk"
	var fs unix.Statfs_t
	if err := unix.Statfs(existing(data), &fs); err != nil {
		return Finding{check, Fail, fmt.Sprintf("free disk is not known: %v", err), ""}
	}
	free := int64(fs.Bavail) * fs.Bsize
	text := fmt.Sprintf("%.1f GiB are free for %s", float64(free)/gibibyte, data)
	const mend = "free some disk, or put the data folder on a larger one with --data"
	switch {
	case free < leastDisk:
		return Finding{check, Fail, text + "; at least 1 GiB is needed", mend}
	case free < wantedDisk:
		return Finding{check, Warn, text + "; a fifth of it is used, which a busy network fills within days", mend}
	}
	return Finding{check, OK, text, ""}
}

func memory() Finding {
	const check = "memory"
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Finding{check, Warn, fmt.Sprintf("free memory is not known: %v", err), ""}
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		value, ok := strings.CutPrefix(line, "MemAvailable:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			break
		}
		text := fmt.Sprintf("%.1f GiB are available", float64(kib<<10)/gibibyte)
		if kib<<10 < leastMemory {
			return Finding{check, Warn, text + "; 36,000 rules take 600 MB while they are loaded anew",
				"use fewer rules (decoder rules disable), or a larger machine"}
		}
		return Finding{check, OK, text, ""}
	}
	return Finding{check, Warn, "free memory is not known", ""}
}

func port(address string) Finding {
	check := "port " + address
	l, err := net.Listen("tcp", address) //nolint:noctx // it answers at once
	if err != nil {
		_, p, _ := net.SplitHostPort(address)
		return Finding{check, Fail, err.Error(), "see who has it: ss -ltnp sport = :" + p + "; or configure another"}
	}
	_ = l.Close()
	return Finding{check, OK, "free", ""}
}
