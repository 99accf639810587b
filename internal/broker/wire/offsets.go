package wire

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// Special timestamps of ListOffsets.
const (
	atLatest   = -1
	atEarliest = -2
	atMaxTime  = -3
	atLocal    = -4 // earliest on local disk: all is local
)

// partition finds a partition, and compares the leader epoch a client knows
// with the only one; -1 is none. When the connection has ended it finds
// nothing, so that nobody searches a hundred thousand of them in vain.
func (r request) partition(topic string, i, epoch int32) (*storage.Partition, int16) {
	if t := r.server.store.Topic(topic); t != nil && r.ctx.Err() == nil {
		if p := t.Partition(i); p != nil {
			return p, checkEpoch(epoch)
		}
	}
	return nil, code.UnknownTopicOrPartition
}

func listOffsets(r request, req *kmsg.ListOffsetsRequest) reply {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition = p.Partition
			var part *storage.Partition
			if part, rp.ErrorCode = r.partition(t.Topic, p.Partition, p.CurrentLeaderEpoch); rp.ErrorCode == code.None {
				listOffset(&rp, part, p.Timestamp)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return answered(resp)
}

func listOffset(rp *kmsg.ListOffsetsResponseTopicPartition, p *storage.Partition, timestamp int64) {
	var err error
	switch timestamp {
	case atLatest:
		rp.Offset = p.High()
	case atEarliest, atLocal:
		rp.Offset = p.Start()
	case atMaxTime:
		rp.Offset, rp.Timestamp, err = p.MaxTimestamp()
	default:
		if timestamp < 0 { // what later versions ask for
			rp.ErrorCode = code.UnsupportedVersion
			return
		}
		rp.Offset, rp.Timestamp, err = p.OffsetForTime(timestamp)
	}
	rp.ErrorCode = errorCode(err)
	if rp.Offset >= 0 {
		rp.LeaderEpoch = storage.LeaderEpoch
	}
}

func offsetForLeaderEpoch(r request, req *kmsg.OffsetForLeaderEpochRequest) reply {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition = p.Partition
			var part *storage.Partition
			part, rp.ErrorCode = r.partition(t.Topic, p.Partition, p.CurrentLeaderEpoch)
			if rp.ErrorCode == code.None && p.LeaderEpoch == storage.LeaderEpoch {
				rp.LeaderEpoch, rp.EndOffset = storage.LeaderEpoch, part.High()
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return answered(resp)
}

func deleteRecords(r request, req *kmsg.DeleteRecordsRequest) reply {
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewDeleteRecordsResponseTopicPartition()
			rp.Partition, rp.LowWatermark = p.Partition, -1
			part, c := r.partition(t.Topic, p.Partition, -1)
			switch {
			case c != code.None:
				rp.ErrorCode = c
			case part.Topic().Internal || !part.Topic().Config().Delete:
				rp.ErrorCode = code.PolicyViolation
			default:
				low, err := part.DeleteBefore(p.Offset)
				if err != nil {
					rp.ErrorCode = errorCode(err)
				} else {
					rp.LowWatermark = low
				}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return answered(resp)
}
