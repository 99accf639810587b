package groups

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzLoad reads any two records of the groups' log, and uses what came of
// them.
func FuzzLoad(f *testing.F) {
	g := newGroup(New(Config{}, nil), "g")
	g.protocolType, g.protocol, g.leader = "consumer", "range", "a"
	g.members["a"] = &member{protocols: protocols("range"), GroupMetadataValueMember: kmsg.GroupMetadataValueMember{
		MemberID: "a", InstanceID: new("i"), Assignment: []byte("all"), SessionTimeoutMillis: 60_000,
	}}
	v := newValue(kmsg.OffsetCommitRequestTopicPartition{Offset: 5}, [16]byte{1}, time.Now().UnixMilli())
	f.Add(metadataKey("g"), g.metadataValue(), offsetKey("g", topicPartition{"t", 0}), v.AppendTo(nil))
	f.Fuzz(func(t *testing.T, key, value, key2, value2 []byte) {
		m := New(Config{MaxGroups: 10}, &memoryLog{records: []Record{{key, value}, {key2, value2}}})
		if err := m.Load(); err != nil {
			t.Fatal(err)
		}
		defer m.close()
		list := m.List(kmsg.NewPtrListGroupsRequest())
		for _, g := range list.Groups {
			d := kmsg.NewPtrDescribeGroupsRequest()
			d.Groups = []string{g.Group}
			for _, mb := range m.Describe(d).Groups[0].Members {
				beat := kmsg.NewPtrHeartbeatRequest()
				beat.Group, beat.MemberID = g.Group, mb.MemberID
				m.Heartbeat(beat)
			}
			fetch := kmsg.NewPtrOffsetFetchRequest()
			fetch.Group = g.Group
			m.Fetch(fetch)
			m.expire()
		}
	})
}
