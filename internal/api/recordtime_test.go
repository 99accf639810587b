package api

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

// A record of any time can be shown.
func TestRecordOfAnyTimeIsShown(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	for _, at := range []time.Time{now, time.UnixMilli(-1), time.UnixMilli(math.MinInt64), time.UnixMilli(math.MaxInt64)} {
		if _, err := json.Marshal(Record{Time: RecordTime(at)}); err != nil {
			t.Errorf("%v: %v", at, err)
		}
	}
	if !RecordTime(now).Equal(now) {
		t.Errorf("%v is shown as %v", now, RecordTime(now))
	}
}
