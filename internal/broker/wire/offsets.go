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

func listOffsets(r request, req *kmsg.ListOffsetsRequest) reply {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset, rp.Timestamp, rp.LeaderEpoch = p.Partition, -1, -1, -1
			rp.ErrorCode = checkEpoch(p.CurrentLeaderEpoch)
			if part := r.partition(t.Topic, p.Partition); part == nil {
				rp.ErrorCode = code.UnknownTopicOrPartition
			} else if rp.ErrorCode == code.None {
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
		rp.Offset, rp.Timestamp, err = p.OffsetForTime(timestamp)
	}
	if err != nil {
		rp.ErrorCode = errorCode(err)
	}
	if rp.Offset >= 0 {
		rp.LeaderEpoch = storage.LeaderEpoch
	}
}

func (r request) partition(topic string, i int32) *storage.Partition {
	if t := r.server.store.Topic(topic); t != nil {
		return t.Partition(i)
	}
	return nil
}

func offsetForLeaderEpoch(r request, req *kmsg.OffsetForLeaderEpochRequest) reply {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.EndOffset = p.Partition, -1, -1
			part := r.partition(t.Topic, p.Partition)
			switch c := checkEpoch(p.CurrentLeaderEpoch); {
			case part == nil:
				rp.ErrorCode = code.UnknownTopicOrPartition
			case c != code.None:
				rp.ErrorCode = c
			case p.LeaderEpoch == storage.LeaderEpoch:
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
			part := r.partition(t.Topic, p.Partition)
			switch {
			case part == nil:
				rp.ErrorCode = code.UnknownTopicOrPartition
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
