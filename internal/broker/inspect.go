package broker

import (
	"context"
	"encoding/base64"

	"github.com/decodersring/decoder/internal/broker/storage"
)

// TopicInfo describes a topic and its partitions.
type TopicInfo struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Internal   bool              `json:"internal,omitempty"`
	Config     map[string]string `json:"config"` // what was set, not defaults
	Bytes      int64             `json:"bytes"`
	Partitions []PartitionInfo   `json:"partitions"`
}

// PartitionInfo describes a partition. Next is the offset the next record
// gets.
type PartitionInfo struct {
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"`
	Next      int64  `json:"next"`
	Bytes     int64  `json:"bytes"`
	Offline   string `json:"offline,omitempty"` // why, when it is
}

// Topics describes every topic of a running broker. Only after Ready.
func (b *Broker) Topics() []TopicInfo {
	var out []TopicInfo
	for _, t := range b.store.Topics() {
		info := TopicInfo{
			Name: t.Name, ID: base64.RawURLEncoding.EncodeToString(t.ID[:]), Internal: t.Internal, Config: t.Config().Set(),
		}
		for _, p := range t.Partitions() {
			pi := PartitionInfo{Partition: p.Index(), Start: p.Start(), Next: p.High(), Bytes: p.Size()}
			if err := p.Offline(); err != nil {
				pi.Offline = err.Error()
			}
			info.Bytes += pi.Bytes
			info.Partitions = append(info.Partitions, pi)
		}
		out = append(out, info)
	}
	return out
}

// Report is what [Verify] found.
type Report = storage.Report

// Verify reads everything in a data folder that no broker uses: every batch
// and its CRC, every record, every index entry. It changes nothing. An error
// means that it could not look; what is wrong is in the report.
func Verify(ctx context.Context, dataDir string) (Report, error) { return storage.Verify(ctx, dataDir) }

// Lost is a run of records that [Repair] gave up, and where their bytes are
// kept.
type Lost = storage.Lost

// Repair has readers get past batches that are corrupt, in a data folder that
// no broker uses. What can be read stays as it is.
func Repair(ctx context.Context, dataDir string) ([]Lost, error) { return storage.Repair(ctx, dataDir) }

// Record is a record of [Dump], and where its batch lies. Its bytes are valid
// during the call.
type Record = storage.Dumped

// Dump calls fn for every record of a partition from an offset on, until fn
// returns false, in a data folder that no broker uses. What cannot be read is
// passed over: [Verify] lists it.
func Dump(ctx context.Context, dataDir, topic string, partition int32, offset int64, fn func(Record) bool) error {
	return storage.Dump(ctx, dataDir, topic, partition, offset, fn)
}
