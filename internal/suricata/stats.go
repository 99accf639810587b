package suricata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Stats are the counters of an engine that say whether it sees all there is.
// They count from the engine's start.
type Stats struct {
	Uptime        int64 `json:"uptime"`         // seconds
	Packets       int64 `json:"packets"`        // captured
	KernelDrops   int64 `json:"kernel_drops"`   // packets the kernel had no room for
	DecoderErrors int64 `json:"decoder_errors"` // packets that are not what they claim to be
	MemcapHits    int64 `json:"memcap_hits"`    // times a flow, segment or transaction was left out for lack of memory
	Alerts        int64 `json:"alerts"`
}

// ParseStats reads an EVE line of event_type stats.
func ParseStats(line []byte) (Stats, error) {
	var e struct {
		Stats struct {
			Uptime  int64 `json:"uptime"`
			Capture struct {
				Packets int64 `json:"kernel_packets"`
				Drops   int64 `json:"kernel_drops"`
			} `json:"capture"`
			Decoder struct {
				Packets int64 `json:"pkts"`
				Invalid int64 `json:"invalid"`
			} `json:"decoder"`
			Detect struct {
				Alert int64 `json:"alert"`
			} `json:"detect"`
			TCP, Flow, Defrag, HTTP, FTP map[string]json.RawMessage
		} `json:"stats"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return Stats{}, fmt.Errorf("reading engine statistics: %w", err)
	}
	s := e.Stats
	out := Stats{
		Uptime: s.Uptime, Packets: max(s.Capture.Packets, s.Decoder.Packets), KernelDrops: s.Capture.Drops,
		DecoderErrors: s.Decoder.Invalid, Alerts: s.Detect.Alert,
	}
	for _, section := range []map[string]json.RawMessage{s.TCP, s.Flow, s.Defrag, s.HTTP, s.FTP} {
		for name, value := range section {
			// "memuse" and the like say how much is used, "memcap…drop" and
			// "…memcap" count what was left out.
			var n int64
			if strings.Contains(name, "memcap") && !strings.HasPrefix(name, "memcap_pressure") && json.Unmarshal(value, &n) == nil {
				out.MemcapHits += n
			}
		}
	}
	return out, nil
}

var statsType = []byte(`"event_type":"stats"`)

// IsStats says whether an EVE line holds statistics. The engine writes the
// type before all that varies in length.
func IsStats(line []byte) bool {
	return bytes.Contains(line[:min(len(line), 160)], statsType)
}

// Since returns what was counted between two readings of the same engine, and
// the later one as it is where the engine was started anew in between.
func (s Stats) Since(before Stats) Stats {
	if s.Uptime < before.Uptime || s.Packets < before.Packets {
		return s
	}
	s.Packets -= before.Packets
	s.KernelDrops -= before.KernelDrops
	s.DecoderErrors -= before.DecoderErrors
	s.MemcapHits -= before.MemcapHits
	s.Alerts -= before.Alerts
	return s
}

// Problem says in a sentence what is wrong with what was counted, or "".
func (s Stats) Problem() string {
	var out []string
	if seen := s.Packets + s.KernelDrops; s.KernelDrops > 0 && s.KernelDrops*1000 >= seen {
		out = append(out, fmt.Sprintf("%.1f %% of packets were dropped by the kernel", 100*float64(s.KernelDrops)/float64(seen)))
	}
	if s.DecoderErrors > 0 && s.DecoderErrors*100 >= s.Packets {
		out = append(out, fmt.Sprintf("%.1f %% of packets could not be decoded", 100*float64(s.DecoderErrors)/float64(s.Packets)))
	}
	if s.MemcapHits > 0 {
		out = append(out, fmt.Sprintf("memory limits left out %d flows, segments or transactions", s.MemcapHits))
	}
	return strings.Join(out, "; ")
}
