package wire

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestFetchIsEncodedAsKmsgWould compares the encoding that leaves the batches
// where they lie with the one that copies them, in every version.
func TestFetchIsEncodedAsKmsgWould(t *testing.T) {
	for v := apis()[int16(kmsg.Fetch)].min; v <= apis()[int16(kmsg.Fetch)].max; v++ {
		r := kmsg.NewPtrFetchResponse()
		r.Version = v
		for _, name := range []string{"one", "other"} {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = name, [16]byte{1, byte(len(name))}
			for i, batches := range [][]byte{{}, []byte("a batch"), bytes.Repeat([]byte("long"), 100)} {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.RecordBatches = int32(i), int16(i), batches
				rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = 300, 300, 2
				rt.Partitions = append(rt.Partitions, rp)
			}
			r.Topics = append(r.Topics, rt)
		}
		want, _ := appendResponse([]byte("before"), 7, r)
		b, insets := appendResponse([]byte("before"), 7, fetchResponse{FetchResponse: r})
		var got bytes.Buffer
		if err := writeInset(&got, b, insets); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Bytes()); diff != "" {
			t.Errorf("version %d: %s", v, diff)
		}
	}
}
