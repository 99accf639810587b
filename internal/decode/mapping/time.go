package mapping

import (
	"time"

	"github.com/decodersring/decoder/internal/event"
)

// PutTime gives the field a time in RFC 3339 and UTC and returns it. It takes
// 2006-01-02T15:04:05 with up to nine decimals and the zones Z, +0100,
// +01:00 and none, which is UTC; decimals stay as many as they were.
func (s *State) PutTime(f event.Field, l event.Leaf) (time.Time, bool) {
	if l.Kind != event.String {
		return time.Time{}, false
	}
	raw := l.Bytes(s.Line)
	t, bare, utc, ok := parseTime(raw)
	if !ok {
		return time.Time{}, false
	}
	start := len(s.Doc.Side)
	if utc {
		s.Doc.Side = append(append(s.Doc.Side, raw[:bare]...), 'Z')
	} else {
		const layout = "2006-01-02T15:04:05.000000000"
		s.Doc.Side = append(t.AppendFormat(s.Doc.Side, layout[:bare]), 'Z')
	}
	s.Doc.Put(f, start, true)
	return t, true
}

// ParseTime reads a time as PutTime does.
func ParseTime(b []byte) (time.Time, bool) {
	t, _, _, ok := parseTime(b)
	return t, ok
}

// putEpoch takes seconds since 1970, digits and at most nine decimals more, or
// a time as PutTime does.
func (s *State) putEpoch(f event.Field, l event.Leaf) bool {
	if l.Kind == event.String {
		if _, ok := s.PutTime(f, l); ok {
			return true
		}
		l.Kind = event.Number
	}
	seconds, nanos, decimals, ok := parseSeconds(l, s.Line)
	const lastSecond = 253402300799 // of the year 9999
	if !ok || seconds > lastSecond {
		return false
	}
	const layout = "2006-01-02T15:04:05.000000000"
	shown := len("2006-01-02T15:04:05")
	if decimals > 0 {
		shown += 1 + decimals
	}
	start := len(s.Doc.Side)
	s.Doc.Side = append(time.Unix(seconds, nanos).UTC().AppendFormat(s.Doc.Side, layout[:shown]), 'Z')
	s.Doc.Put(f, start, true)
	return true
}

// putSeconds takes a duration in seconds.
func (s *State) putSeconds(f event.Field, l event.Leaf) bool {
	seconds, nanos, _, ok := parseSeconds(l, s.Line)
	if !ok || seconds > 1<<32 {
		return false
	}
	s.PutInt(f, seconds*1e9+nanos)
	return true
}

// parseSeconds reads a number without sign and exponent, of at most nine
// decimals, without going through a float.
func parseSeconds(l event.Leaf, doc []byte) (seconds, nanos int64, decimals int, ok bool) {
	b := l.Bytes(doc)
	if l.Kind != event.Number || len(b) > 28 {
		return 0, 0, 0, false
	}
	i := 0
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		seconds = seconds*10 + int64(b[i]-'0')
	}
	if i == 0 || i > 18 {
		return 0, 0, 0, false
	}
	if i == len(b) {
		return seconds, 0, 0, true
	}
	decimals = len(b) - i - 1
	if b[i] != '.' || decimals > 9 {
		return 0, 0, 0, false
	}
	for _, c := range b[i+1:] {
		if c-'0' > 9 {
			return 0, 0, 0, false
		}
		nanos = nanos*10 + int64(c-'0')
	}
	for range 9 - decimals {
		nanos *= 10
	}
	return seconds, nanos, decimals, true
}

func (s *State) putOutcome(f event.Field, l event.Leaf) bool {
	switch l.Kind {
	case event.True:
		s.PutConstant(f, s.table.success)
	case event.False:
		s.PutConstant(f, s.table.failure)
	default:
		return false
	}
	return true
}

// parseTime returns the time in UTC, how many bytes come before the zone, and
// whether the zone is UTC.
func parseTime(b []byte) (t time.Time, bare int, utc, ok bool) {
	const shape = "0000-00-00T00:00:00"
	if len(b) < len(shape) {
		return t, 0, false, false
	}
	for i := range len(shape) {
		if shape[i] == '0' && b[i]-'0' > 9 || shape[i] != '0' && shape[i] != b[i] {
			return t, 0, false, false
		}
	}
	year, month, day := two(b, 0)*100+two(b, 2), two(b, 5), two(b, 8)
	hour, minute, second := two(b, 11), two(b, 14), two(b, 17)
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return t, 0, false, false
	}
	bare = len(shape)
	nanos, scale := 0, 100_000_000
	if bare+1 < len(b) && b[bare] == '.' && b[bare+1]-'0' <= 9 {
		for bare++; bare < len(b) && b[bare]-'0' <= 9; bare++ {
			if scale == 0 {
				return t, 0, false, false
			}
			nanos += int(b[bare]-'0') * scale
			scale /= 10
		}
	}
	offset, ok := zone(b[bare:])
	if !ok {
		return t, 0, false, false
	}
	seconds := int64(daysSince(year, month, day))*86400 + int64(hour*3600+minute*60+second-offset)
	t = time.Unix(seconds, int64(nanos)).UTC()
	return t, bare, offset == 0, offset == 0 || t.Year() >= 0 && t.Year() <= 9999
}

// zone reads a time zone as seconds east of UTC.
func zone(b []byte) (seconds int, ok bool) {
	switch {
	case len(b) == 0, string(b) == "+0000", len(b) == 1 && b[0]|0x20 == 'z':
		return 0, true
	case len(b) < 5 || len(b) > 6 || len(b) == 6 && b[3] != ':' || b[0] != '+' && b[0] != '-':
		return 0, false
	}
	minute := len(b) - 2
	for _, i := range [...]int{1, 2, minute, minute + 1} {
		if b[i]-'0' > 9 {
			return 0, false
		}
	}
	h, m := two(b, 1), two(b, minute)
	if h > 23 || m > 59 {
		return 0, false
	}
	seconds = h*3600 + m*60
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

func two(b []byte, i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince counts the days from 1970-01-01 in the Gregorian calendar, by
// years that begin in March, so that the leap day is their last. 400 years
// more keep the divisions from what is less than 0.
func daysSince(year, month, day int) int {
	year += 400
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468 - 146097
}
