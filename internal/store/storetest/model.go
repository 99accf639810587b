package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/store"
)

// fields is a document as a query sees it, by encoding/json: written plainly,
// to test stores against.
type fields map[string]*field

type field struct {
	values []string
	list   bool
}

// Values returns the texts of a field.
func (f fields) Values(name string) ([]string, bool) {
	if v := f[name]; v != nil {
		return v.values, v.list
	}
	return nil, false
}

// Any reports whether a leaf has values of which ok is true.
func (f fields) Any(ok func([]string) bool) bool {
	for name, v := range f {
		if name != "@timestamp" && len(v.values) > 0 && ok(v.values) {
			return true
		}
	}
	return false
}

func parse(doc []byte) fields {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		panic(fmt.Sprintf("storetest: %s: %v", doc, err))
	}
	f := fields{}
	f.object("", v, false)
	return f
}

func (f fields) object(prefix string, o map[string]any, list bool) {
	for name, v := range o {
		f.value(prefix+name, v, list)
	}
}

func (f fields) value(name string, v any, list bool) {
	switch v := v.(type) {
	case map[string]any:
		f.object(name+".", v, list)
	case []any:
		for _, e := range v {
			f.value(name, e, true)
		}
	case nil:
	case string:
		f.add(name, v, list)
	default:
		f.add(name, fmt.Sprint(v), list)
	}
}

func (f fields) add(name, text string, list bool) {
	if text == "" {
		return
	}
	if f[name] == nil {
		f[name] = &field{}
	}
	f[name].values = append(f[name].values, text)
	f[name].list = list
}

// model answers what a store should.
type model struct {
	docs []store.Doc // newest first
	f    []fields
}

func newModel(docs []store.Doc) *model {
	m := &model{docs: slices.Clone(docs)}
	slices.SortFunc(m.docs, func(a, b store.Doc) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	for _, d := range m.docs {
		m.f = append(m.f, parse(d.JSON))
	}
	return m
}

func (m *model) ids(q *store.Query, r store.Range) []string {
	var ids []string
	m.each(q, r, func(d store.Doc, _ fields) { ids = append(ids, d.ID) })
	return ids
}

func (m *model) each(q *store.Query, r store.Range, fn func(store.Doc, fields)) {
	for i, d := range m.docs {
		if !r.From.IsZero() && d.Time.Before(r.From) || !r.To.IsZero() && !d.Time.Before(r.To) {
			continue
		}
		if q.Matches(m.f[i], d.Time) {
			fn(d, m.f[i])
		}
	}
}

func (m *model) facet(q *store.Query, r store.Range, name string) map[string]uint64 {
	counts := map[string]uint64{}
	m.each(q, r, func(_ store.Doc, f fields) {
		values, _ := f.Values(name)
		values = slices.Clone(values)
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			counts[v]++
		}
	})
	return counts
}

func (m *model) histogram(q *store.Query, r store.Range, step time.Duration) map[time.Time]uint64 {
	counts := map[time.Time]uint64{}
	m.each(q, r, func(d store.Doc, _ fields) {
		at := d.Time.UnixNano()
		counts[time.Unix(0, at-at%int64(step)).UTC()]++
	})
	return counts
}
