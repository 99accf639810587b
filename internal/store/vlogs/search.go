package vlogs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/store"
)

// key is a document's place in the order: newest first, then by descending id.
type key struct {
	at     int64
	id     string
	folder int
}

func compareKeys(a, b key) int {
	switch {
	case a.at != b.at:
		if a.at > b.at {
			return -1
		}
		return 1
	default:
		return strings.Compare(b.id, a.id)
	}
}

// maxPageBytes bounds a page of large documents; one is given in any case.
const maxPageBytes = 32 << 20

// Search returns a page of documents, newest first. It first finds which they
// are, reading only times and ids, and then reads those.
func (s *Store) Search(ctx context.Context, q store.Search) (store.Page, error) {
	limit := min(q.Limit, store.MaxLimit)
	if limit <= 0 {
		limit = 100
	}
	from, to, ok := bounds(q.Range)
	var after *key
	if q.Cursor != "" {
		k, err := parseCursor(q.Cursor)
		if err != nil {
			return store.Page{}, err
		}
		after = &k
		to = min(to, k.at)
		ok = ok && from <= to
	}
	if !ok {
		return store.Page{}, nil
	}
	ctx, end, err := s.begin(ctx, "search")
	if err != nil {
		return store.Page{}, err
	}
	defer end()
	keys, err := s.newest(ctx, s.asked(q.Query, ""), filter(q.Query), from, to, limit+1, after)
	if err != nil || len(keys) == 0 {
		return store.Page{}, err
	}
	more := len(keys) > limit
	keys = keys[:min(len(keys), limit)]
	docs, read, err := s.documents(ctx, keys)
	if err != nil {
		return store.Page{}, err
	}
	page := store.Page{Docs: docs}
	if more || read < len(keys) {
		page.Cursor = keys[read-1].cursor()
	}
	return page, nil
}

const windowGrowth = 16

// newest returns up to n keys behind after, newest first. It looks through
// windows of time backwards from the newest, each longer than the one before: the
// first ones mostly have enough, and cost next to nothing.
func (s *Store) newest(ctx context.Context, in []*folder, filter string, from, to int64, n int, after *key) ([]key, error) {
	var keys []key
	text := filter + ` | fields _time, "event.id"`
	for end, length := lastBefore(in, to), int64(time.Second); end >= from; {
		start := max(from, end-length+1)
		err := s.runAll(ctx, in, text, start, end, func(folder int, db *logstorage.DataBlock) {
			keys = appendKeys(keys, db, folder, after)
			if len(keys) > 4*n+10_000 {
				slices.SortFunc(keys, compareKeys)
				keys = keys[:n]
			}
		})
		if err != nil {
			return nil, err
		}
		if len(keys) >= n {
			break
		}
		end = lastBefore(in, start-1)
		if length < math.MaxInt64/windowGrowth/2 {
			length *= windowGrowth
		}
	}
	slices.SortFunc(keys, compareKeys)
	return keys[:min(len(keys), n)], nil
}

// lastBefore returns the last time up to t that a document may have, less than
// 0 without any: years without documents lie between captures.
func lastBefore(in []*folder, t int64) int64 {
	last := int64(-1)
	for _, f := range in {
		for _, day := range slices.Backward(f.days()) {
			d, err := time.Parse(dayFormat, day)
			if err != nil || d.UnixNano() > t {
				continue
			}
			last = max(last, min(t, d.UnixNano()+levels[0]-1))
			break
		}
	}
	return last
}

func appendKeys(keys []key, db *logstorage.DataBlock, folder int, after *key) []key {
	times, ok := db.GetTimestamps(nil)
	ids := db.GetColumnByName("event.id")
	if !ok || ids == nil {
		return keys
	}
	for i, at := range times {
		k := key{at: at, id: ids.Values[i], folder: folder}
		if after != nil && compareKeys(*after, k) >= 0 {
			continue
		}
		k.id = strings.Clone(k.id)
		keys = append(keys, k)
	}
	return keys
}

// documents reads the documents of the first keys, in their order, and says of
// how many: all, or fewer when they are large. Those dropped meanwhile are left
// out.
func (s *Store) documents(ctx context.Context, keys []key) (docs []json.RawMessage, read int, err error) {
	const chunk = 1000
	size := 0
	for len(keys) > 0 {
		part := keys[:min(len(keys), chunk)]
		keys = keys[len(part):]
		found := make([]json.RawMessage, len(part))
		for i, f := range s.folders() {
			if err := f.read(ctx, i, part, found); err != nil {
				return nil, 0, err
			}
		}
		for _, d := range found {
			if size += len(d); size > maxPageBytes && len(docs) > 0 {
				return docs, read, nil
			}
			read++
			if d != nil {
				docs = append(docs, d)
			}
		}
	}
	return docs, read, nil
}

// read puts those documents of keys that lie in the folder into found.
func (f *folder) read(ctx context.Context, folder int, keys []key, found []json.RawMessage) error {
	at := map[string]int{}
	var text strings.Builder
	text.WriteString(`"event.id":in(`)
	from, to := int64(math.MaxInt64), int64(0)
	for i, k := range keys {
		if k.folder != folder {
			continue
		}
		if len(at) > 0 {
			text.WriteByte(',')
		}
		text.WriteString(strconv.Quote(k.id))
		at[k.id] = i
		from, to = min(from, k.at), max(to, k.at)
	}
	if len(at) == 0 {
		return nil
	}
	text.WriteByte(')')
	q, err := translate(text.String(), from, to)
	if err != nil {
		return err
	}
	var n nester
	var columns []leaf
	return f.run(ctx, q, []string{"_stream", "_stream_id"}, func(db *logstorage.DataBlock) {
		times, _ := db.GetTimestamps(nil)
		for row := range times {
			columns = columns[:0]
			id := ""
			for _, c := range db.GetColumns(false) {
				if v := c.Values[row]; v != "" {
					columns = append(columns, leaf{name: c.Name, value: v})
					if c.Name == "event.id" {
						id = v
					}
				}
			}
			if i, ok := at[id]; ok && keys[i].at == times[row] {
				found[i] = n.document(nil, columns, time.Unix(0, times[row]))
			}
		}
	})
}

func (k key) cursor() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", k.at, k.id))
}

func parseCursor(s string) (key, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	at, id, ok := strings.Cut(string(b), " ")
	n, e := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || e != nil || n < 0 {
		return key{}, fmt.Errorf("%w: %.40q", store.ErrCursor, s)
	}
	return key{at: n, id: id}, nil
}
