package vlogs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/store"
)

// Facet returns the most frequent values of a field, with their exact counts.
func (s *Store) Facet(ctx context.Context, q *store.Query, r store.Range, field string, limit int) ([]store.Bucket, error) {
	if err := checkField(field); err != nil {
		return nil, err
	}
	name := strconv.Quote(field)
	matching := filter(q) + " " + name + ":*"
	in, c := s.asked(q, field), counts{}
	err := s.aggregate(ctx, in, "facet", fmt.Sprintf("%s | stats by (%s) count() n", matching, name), r, []string{field}, func(values []string, n uint64) {
		eachValue(values[0], func(v string) { c.add(v, n) })
	})
	if errors.Is(err, store.ErrTooBroad) && limit > 0 {
		return s.frequent(ctx, in, matching+" | fields "+name, r, field, limit)
	}
	if err != nil {
		return nil, err
	}
	return c.mostFrequent(limit), nil
}

// frequent finds the most frequent of so many values that counting each would
// not fit into memory, in two passes: the first keeps those that may be among
// them, the second counts these. It fails when the last of them is so rare
// that a value it did not keep may be as frequent: then none stands out.
func (s *Store) frequent(ctx context.Context, in []*folder, text string, r store.Range, field string, limit int) ([]store.Bucket, error) {
	from, to, ok := bounds(r)
	if !ok {
		return nil, nil
	}
	ctx, end, err := s.begin(ctx, "facet")
	if err != nil {
		return nil, err
	}
	defer end()
	each := func(fn func(v string)) error {
		return s.runAll(ctx, in, text, from, to, func(_ int, db *logstorage.DataBlock) {
			if c := db.GetColumnByName(field); c != nil {
				for _, v := range c.Values {
					eachValue(v, fn)
				}
			}
		})
	}
	k := keeper{most: keptValues, counts: counts{}}
	if err := each(k.add); err != nil {
		return nil, err
	}
	if k.lost > 0 {
		for _, n := range k.counts {
			*n = 0
		}
		err := each(func(v string) {
			if n := k.counts[v]; n != nil {
				*n++
			}
		})
		if err != nil {
			return nil, err
		}
	}
	top := k.counts.mostFrequent(limit)
	if len(top) > 0 && k.lost > 0 && top[len(top)-1].Count <= k.lost {
		top = slices.DeleteFunc(top, func(b store.Bucket) bool { return b.Count <= k.lost })
		if len(top) == 0 {
			return nil, fmt.Errorf("%w: hardly any value of %s comes twice", store.ErrTooBroad, field)
		}
	}
	return top, nil
}

// keptValues is how many values are counted at a time, of 100 bytes or so.
const keptValues = 100_000

// keeper keeps the values that may be the most frequent ones (Misra and Gries,
// "Finding repeated elements", 1982): when there are too many, all lose the
// same count, and those left with none are forgotten. A value that was
// forgotten comes at most as often as all counts that were lost.
type keeper struct {
	most   int
	counts counts
	lost   uint64
}

func (k *keeper) add(v string) {
	if k.counts.add(v, 1); len(k.counts) <= k.most {
		return
	}
	all := make([]uint64, 0, len(k.counts))
	for _, n := range k.counts {
		all = append(all, *n)
	}
	slices.Sort(all)
	cut := all[len(all)/2]
	k.lost += cut
	for v, n := range k.counts {
		if *n <= cut {
			delete(k.counts, v)
		} else {
			*n -= cut
		}
	}
}

// counts counts texts that are valid only for the moment: those it keeps are
// copies. The counts are pointers, since writing to a map also replaces the
// key by one that is equal.
type counts map[string]*uint64

func (c counts) add(v string, n uint64) {
	if old := c[v]; old != nil {
		*old += n
		return
	}
	c[strings.Clone(v)] = &n
}

// mostFrequent returns the largest counts, those of one size by name.
func (c counts) mostFrequent(limit int) []store.Bucket {
	out := make([]store.Bucket, 0, len(c))
	for v, n := range c {
		out = append(out, store.Bucket{Value: v, Count: *n})
	}
	slices.SortFunc(out, func(a, b store.Bucket) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Value, b.Value))
	})
	if limit > 0 && len(out) > limit {
		out = slices.Clone(out[:limit])
	}
	return out
}

// eachValue calls fn for a column's text, or for each element of a list, once.
func eachValue(text string, fn func(v string)) {
	switch {
	case text == "":
	case text[0] != '[':
		fn(text)
	case strings.HasPrefix(text, `["`) && strings.HasSuffix(text, `"]`) && strings.IndexByte(text, '\\') < 0:
		eachPlain(text[2:len(text)-2], fn)
	default:
		values, _ := columnValues(text)
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			fn(v)
		}
	}
}

// eachPlain is eachValue for what stands within the outer quotes of a list of
// texts without escapes.
func eachPlain(inner string, fn func(v string)) {
	rest := inner
	for {
		v, after, more := strings.Cut(rest, `","`)
		before := inner[:len(inner)-len(rest)]
		if before == "" || !strings.Contains(`","`+before, `","`+v+`","`) {
			fn(v)
		}
		if !more {
			return
		}
		rest = after
	}
}
