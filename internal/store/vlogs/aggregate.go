package vlogs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/store"
)

// aggregate runs a query over both folders that gives rows of columns with a
// count in the column n, and calls each for every row, one at a time.
func (s *Store) aggregate(ctx context.Context, kind, text string, r store.Range, columns []string, each func(values []string, n uint64)) error {
	from, to, ok := bounds(r)
	if !ok {
		return nil
	}
	ctx, end, err := s.begin(ctx, kind)
	if err != nil {
		return err
	}
	defer end()
	return s.runAll(ctx, text, from, to, func(_ int, db *logstorage.DataBlock) { eachCount(db, columns, each) })
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
	err := s.aggregate(ctx, "count", filter(q)+" | stats count() n", r, nil, func(_ []string, n uint64) { total += n })
	return total, err
}

// Facet returns the most frequent values of a field.
func (s *Store) Facet(ctx context.Context, q *store.Query, r store.Range, field string, limit int) ([]store.Bucket, error) {
	if err := checkField(field); err != nil {
		return nil, err
	}
	name := strconv.Quote(field)
	counts := map[string]uint64{}
	text := fmt.Sprintf(`%s %s:* | stats by (%s) count() n`, filter(q), name, name)
	err := s.aggregate(ctx, "facet", text, r, []string{field}, func(values []string, n uint64) {
		addValues(counts, values[0], n)
	})
	if err != nil {
		return nil, err
	}
	return mostFrequent(counts, limit), nil
}

// addValues counts a column's text, or each of its elements.
func addValues(counts map[string]uint64, text string, n uint64) {
	if text == "" || text[0] != '[' {
		if _, ok := counts[text]; !ok {
			text = strings.Clone(text)
		}
		counts[text] += n
		return
	}
	values, _ := columnValues(text)
	slices.Sort(values)
	for _, v := range slices.Compact(values) { // once a document
		counts[v] += n
	}
}

// mostFrequent returns the largest counts, those of one size by name.
func mostFrequent(counts map[string]uint64, limit int) []store.Bucket {
	out := make([]store.Bucket, 0, len(counts))
	for v, n := range counts {
		out = append(out, store.Bucket{Value: v, Count: n})
	}
	slices.SortFunc(out, func(a, b store.Bucket) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
	})
	if limit > 0 && len(out) > limit {
		out = slices.Clone(out[:limit])
	}
	return out
}

// Fields lists the names of fields.
func (s *Store) Fields(ctx context.Context, q *store.Query, r store.Range) ([]store.Bucket, error) {
	counts := map[string]uint64{}
	text := filter(q) + " | field_names | rename hits as n"
	err := s.aggregate(ctx, "fields", text, r, []string{"name"}, func(values []string, n uint64) {
		switch name := values[0]; {
		case name == colTime:
			counts["@timestamp"] += n
		case !isReserved(name):
			counts[strings.Clone(name)] += n
		}
	})
	return mostFrequent(counts, 0), err
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
	counts := map[string]map[int64]uint64{}
	steps := map[int64]struct{}{}
	err := s.aggregate(ctx, "histogram", text, r, columns, func(values []string, n uint64) {
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
			if counts[k] == nil {
				counts[k] = map[int64]uint64{}
			}
			counts[k][at.UnixNano()] += n
		}
	})
	if err != nil {
		return nil, err
	}
	if len(steps) > maxSteps {
		return nil, fmt.Errorf("%w: more than %d steps", store.ErrTooBroad, maxSteps)
	}
	return histogram(counts), nil
}

// histogram keeps the most frequent values and adds up the rest.
func histogram(counts map[string]map[int64]uint64) map[string][]store.Bucket {
	totals := map[string]uint64{}
	for v, steps := range counts {
		if v == restOfSplits {
			continue
		}
		for _, n := range steps {
			totals[v] += n
		}
	}
	keep := map[string]bool{restOfSplits: true}
	for _, b := range mostFrequent(totals, maxSplit) {
		keep[b.Value] = true
	}
	rest := counts[restOfSplits]
	for v, steps := range counts {
		if keep[v] {
			continue
		}
		if rest == nil {
			rest = map[int64]uint64{}
			counts[restOfSplits] = rest
		}
		for at, n := range steps {
			rest[at] += n
		}
		delete(counts, v)
	}
	out := map[string][]store.Bucket{}
	for v, steps := range counts {
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
