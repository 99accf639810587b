package vlogs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/store"
)

// aggregate runs a query over the folders given that gives rows of columns with a
// count in the column n, and calls each for every row, one at a time.
func (s *Store) aggregate(ctx context.Context, in []*folder, kind, text string, r store.Range, columns []string, each func(values []string, n uint64)) error {
	from, to, ok := bounds(r)
	if !ok {
		return nil
	}
	ctx, end, err := s.begin(ctx, kind)
	if err != nil {
		return err
	}
	defer end()
	return s.runAll(ctx, in, text, from, to, func(_ int, db *logstorage.DataBlock) { eachCount(db, columns, each) })
}

func eachCount(db *logstorage.DataBlock, columns []string, each func(values []string, n uint64)) {
	counts := db.GetColumnByName("n")
	if counts == nil {
		return
	}
	values := make([]string, len(columns))
	for row, text := range counts.Values {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			continue
		}
		for i, name := range columns {
			values[i] = ""
			if c := db.GetColumnByName(name); c != nil {
				values[i] = c.Values[row]
			}
		}
		each(values, n)
	}
}

// Count counts documents.
func (s *Store) Count(ctx context.Context, q *store.Query, r store.Range) (uint64, error) {
	var total uint64
	err := s.aggregate(ctx, s.asked(q, ""), "count", filter(q)+" | stats count() n", r, nil, func(_ []string, n uint64) { total += n })
	return total, err
}

// Fields lists the names of fields.
func (s *Store) Fields(ctx context.Context, q *store.Query, r store.Range) ([]store.Bucket, error) {
	c := counts{}
	text := filter(q) + " | field_names | rename hits as n"
	err := s.aggregate(ctx, s.asked(q, ""), "fields", text, r, []string{"name"}, func(values []string, n uint64) {
		switch name := values[0]; {
		case name == colTime:
			c.add("@timestamp", n)
		case !isReserved(name):
			c.add(name, n)
		}
	})
	return c.mostFrequent(0), err
}

const (
	maxSteps     = 10_000
	maxSplit     = 20
	restOfSplits = ""
)

// Histogram counts documents by steps of time.
func (s *Store) Histogram(ctx context.Context, q *store.Query, r store.Range, step time.Duration, split string) (map[string][]store.Bucket, error) {
	if step < time.Millisecond {
		return nil, &store.QueryError{Column: 1, Message: "a histogram's step is a millisecond or more"}
	}
	by, columns := "", []string{colTime}
	if split != "" {
		if err := checkField(split); err != nil {
			return nil, err
		}
		by, columns = ", "+strconv.Quote(split), append(columns, split)
	}
	text := fmt.Sprintf(`%s | stats by (_time:%dns%s) count() n`, filter(q), step.Nanoseconds(), by)
	series := map[string]map[int64]uint64{}
	steps := map[int64]struct{}{}
	err := s.aggregate(ctx, s.asked(q, split), "histogram", text, r, columns, func(values []string, n uint64) {
		at, err := time.Parse(time.RFC3339Nano, values[0])
		if err != nil || len(steps) > maxSteps {
			return
		}
		steps[at.UnixNano()] = struct{}{}
		keys := []string{restOfSplits}
		if split != "" && values[1] != "" {
			keys, _ = columnValues(values[1])
		}
		for _, k := range keys {
			if series[k] == nil {
				series[k] = map[int64]uint64{}
			}
			series[k][at.UnixNano()] += n
		}
	})
	if err != nil {
		return nil, err
	}
	if len(steps) > maxSteps {
		return nil, fmt.Errorf("%w: more than %d steps", store.ErrTooBroad, maxSteps)
	}
	return histogram(series), nil
}

// histogram keeps the most frequent values and adds up the rest.
func histogram(series map[string]map[int64]uint64) map[string][]store.Bucket {
	totals := counts{}
	for v, steps := range series {
		if v == restOfSplits {
			continue
		}
		for _, n := range steps {
			totals.add(v, n)
		}
	}
	keep := map[string]bool{restOfSplits: true}
	for _, b := range totals.mostFrequent(maxSplit) {
		keep[b.Value] = true
	}
	rest := series[restOfSplits]
	for v, steps := range series {
		if keep[v] {
			continue
		}
		if rest == nil {
			rest = map[int64]uint64{}
			series[restOfSplits] = rest
		}
		for at, n := range steps {
			rest[at] += n
		}
		delete(series, v)
	}
	out := map[string][]store.Bucket{}
	for v, steps := range series {
		for _, at := range slices.Sorted(maps.Keys(steps)) {
			out[v] = append(out[v], store.Bucket{Start: time.Unix(0, at).UTC(), Count: steps[at]})
		}
	}
	return out
}

// checkField refuses names that are no fields of documents.
func checkField(name string) error {
	if isReserved(name) {
		return &store.QueryError{Column: 1, Message: fmt.Sprintf("%q is no field of documents", name)}
	}
	return nil
}
