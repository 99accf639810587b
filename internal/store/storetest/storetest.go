// Package storetest checks that a store keeps the contract of package store:
// what went in comes back, queries answer as the reference does, one document
// is kept per id, pages are stable, refused documents are named, calls end
// with their context.
package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/store"
)

// Store is what is checked.
type Store interface {
	store.Reader
	store.Writer
	store.Tailer
	store.Reporter
}

// Open opens the store in a folder. The test may call close early to open the
// same folder again.
type Open func(t *testing.T, dir string) (s Store, close func())

// Run runs all checks.
func Run(t *testing.T, open Open) {
	for name, check := range map[string]func(*testing.T, Open){
		"DocumentsComeBackAsTheyWere":      documentsComeBack,
		"QueriesAnswerAsTheReferenceDoes":  queriesAnswer,
		"RandomQueriesAnswerAsReference":   randomQueries,
		"OneDocumentIsKeptPerID":           onePerID,
		"ConcurrentWritesKeepOnePerID":     concurrentWrites,
		"PagesAreStableUnderIngest":        pages,
		"FacetsAndHistogramsCount":         aggregates,
		"RefusedDocumentsAreNamed":         refused,
		"CallsEndWithTheirContext":         cancelled,
		"SubscribersGetWhatMatches":        subscribe,
		"OldCapturesAreKept":               captures,
		"ARerunIsFoundByWhoAsksForIt":      reruns,
		"UnknownCursorsAreRefused":         cursors,
		"AnEmptyStoreAnswers":              empty,
		"WhatWasFlushedSurvivesAReopening": reopened,
	} {
		t.Run(name, func(t *testing.T) { check(t, open) })
	}
}

func write(t *testing.T, s Store, docs ...store.Doc) {
	t.Helper()
	if err := s.Write(t.Context(), docs); err != nil {
		t.Fatalf("writing: %v", err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatalf("flushing: %v", err)
	}
	s.Committed()
}

func query(t *testing.T, text string) *store.Query {
	t.Helper()
	q, err := store.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return q
}

// all reads every page of a search.
func all(t *testing.T, s Store, q store.Search) []json.RawMessage {
	t.Helper()
	var docs []json.RawMessage
	for {
		p, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatalf("searching %q: %v", q.Query, err)
		}
		docs = append(docs, p.Docs...)
		if q.Cursor = p.Cursor; q.Cursor == "" {
			return docs
		}
	}
}

func ids(docs []json.RawMessage) []string {
	var out []string
	for _, d := range docs {
		values, _ := parse(d).Values("event.id")
		out = append(out, values...)
	}
	return out
}

func count(t *testing.T, s Store, text string) uint64 {
	t.Helper()
	n, err := s.Count(t.Context(), query(t, text), store.Range{})
	if err != nil {
		t.Fatalf("counting %q: %v", text, err)
	}
	return n
}

func documentsComeBack(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	docs := append(generate(500), oddities()...)
	write(t, s, docs...)
	m := newModel(docs)
	got := all(t, s, store.Search{Query: query(t, ""), Limit: 64})
	if d := cmp.Diff(m.ids(nil, store.Range{}), ids(got)); d != "" {
		t.Fatal(d)
	}
	for i, d := range m.docs {
		if !reflect.DeepEqual(decode(t, got[i]), decode(t, d.JSON)) {
			t.Errorf("got  %s\nwant %s", got[i], d.JSON)
		}
	}
}

func queriesAnswer(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	docs := append(generate(2000), oddities()...)
	write(t, s, docs...)
	m := newModel(docs)
	matched := 0
	for _, text := range queries() {
		matched += compare(t, s, m, query(t, text), store.Range{})
	}
	if matched == 0 {
		t.Error("no query matched anything")
	}
	mid := docs[700].Time
	for _, r := range []store.Range{{From: mid}, {To: mid}, {From: mid, To: mid.Add(time.Nanosecond)}, {From: mid, To: mid}, {From: mid.Add(-time.Minute), To: mid}} {
		compare(t, s, m, query(t, "event.module:suricata"), r)
	}
}

// compare asks the store and the reference the same and returns how many
// documents match.
func compare(t *testing.T, s Store, m *model, q *store.Query, r store.Range) int {
	t.Helper()
	want := m.ids(q, r)
	n, err := s.Count(t.Context(), q, r)
	if err != nil {
		t.Errorf("counting %s: %v", q, err)
		return 0
	}
	page, err := s.Search(t.Context(), store.Search{Query: q, Range: r, Limit: store.MaxLimit})
	if err != nil {
		t.Errorf("searching %s: %v", q, err)
		return 0
	}
	got := ids(page.Docs)
	if int(n) != len(want) || !slices.Equal(got, want) {
		t.Errorf("%s: counted %d, found %d, want %d%s", q, n, len(got), len(want), examples(m, got, want))
	}
	return len(want)
}

// examples shows documents that only one side has.
func examples(m *model, got, want []string) string {
	out := ""
	for _, d := range m.docs {
		g, w := slices.Contains(got, d.ID), slices.Contains(want, d.ID)
		if g != w && len(out) < 1500 {
			out += fmt.Sprintf("\nfound %v, want %v: %s", g, w, d.JSON)
		}
	}
	return out
}

func randomQueries(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	docs := append(generate(300), oddities()...)
	write(t, s, docs...)
	m := newModel(docs)
	r := newRandom(7)
	for range 200 {
		compare(t, s, m, store.NewQuery(r.expr(docs, 0)), store.Range{})
	}
}

func onePerID(t *testing.T, open Open) {
	dir := t.TempDir()
	s, closeStore := open(t, dir)
	docs := generate(1000)
	write(t, s, append(slices.Clone(docs), docs...)...)
	write(t, s, docs[500:]...)
	if n := count(t, s, ""); n != 1000 {
		t.Errorf("%d documents of 1000 ids", n)
	}
	closeStore()
	s, _ = open(t, dir)
	more := generate(1500)
	write(t, s, more...)
	write(t, s, more...)
	if n := count(t, s, ""); n != 1500 {
		t.Errorf("%d documents of 1500 ids after opening again", n)
	}
}

func concurrentWrites(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	docs := generate(3000)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 30 {
				from := i*100 + w*25 // the writers overlap
				if err := s.Write(t.Context(), docs[from:min(from+100, len(docs))]); err != nil {
					t.Errorf("writing: %v", err)
				}
				if i%10 == w {
					if err := s.Flush(t.Context()); err != nil {
						t.Errorf("flushing: %v", err)
					}
					s.Committed()
				}
			}
		})
	}
	wg.Wait()
	write(t, s)
	want := newModel(docs).ids(nil, store.Range{})
	if got := ids(all(t, s, store.Search{Limit: 1000})); !slices.Equal(got, want) {
		t.Errorf("%d documents, want %d", len(got), len(want))
	}
}

func pages(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	docs := generate(600)
	for i := range docs { // many of one time
		at := baseTime().Add(time.Duration(i/50) * time.Second)
		docs[i] = docAt(docs[i].ID, at, false, `"n":1`)
	}
	first, later := docs[:450], docs[450:]
	write(t, s, first...)
	want := newModel(first).ids(nil, store.Range{})
	var got []string
	q := store.Search{Limit: 37}
	for {
		p, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ids(p.Docs)...)
		if q.Cursor = p.Cursor; q.Cursor == "" {
			break
		}
		if len(later) > 0 {
			write(t, s, later[:15]...) // newer: on no page that follows
			later = later[15:]
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func aggregates(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	docs := append(generate(2000), oddities()...)
	write(t, s, docs...)
	m := newModel(docs)
	for _, text := range []string{"", "event.module:suricata", "nothing-has-this"} {
		q := query(t, text)
		for _, field := range []string{"event.dataset", "destination.port", "event.category", "dns.answers.data", "no.such.field"} {
			got, err := s.Facet(t.Context(), q, store.Range{}, field, 0)
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]uint64{}
			for i, b := range got {
				counts[b.Value] = b.Count
				if i > 0 && b.Count > got[i-1].Count {
					t.Errorf("facet %s is not sorted", field)
				}
			}
			if d := cmp.Diff(m.facet(q, store.Range{}, field), counts); d != "" {
				t.Errorf("facet %s of %q: %s", field, text, d)
			}
		}
		h, err := s.Histogram(t.Context(), q, store.Range{}, time.Minute, "")
		if err != nil {
			t.Fatal(err)
		}
		counts := map[time.Time]uint64{}
		for _, b := range h[""] {
			counts[b.Start] = b.Count
		}
		if d := cmp.Diff(m.histogram(q, store.Range{}, time.Minute), counts); d != "" {
			t.Errorf("histogram of %q: %s", text, d)
		}
	}
	split(t, s, m)
	fieldNames(t, s, m)
}

func split(t *testing.T, s Store, m *model) {
	h, err := s.Histogram(t.Context(), nil, store.Range{}, time.Hour, "event.dataset")
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range m.facet(nil, store.Range{}, "event.dataset") {
		var n uint64
		for _, b := range h[value] {
			n += b.Count
		}
		if n != want {
			t.Errorf("histogram has %d of %s, want %d", n, value, want)
		}
	}
}

func fieldNames(t *testing.T, s Store, m *model) {
	got, err := s.Fields(t.Context(), query(t, "event.dataset:suricata.dns"), store.Range{})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]uint64{}
	for _, b := range got {
		names[b.Value] = b.Count
	}
	want := uint64(len(m.ids(query(t, "event.dataset:suricata.dns"), store.Range{})))
	for _, name := range []string{"@timestamp", "event.id", "dns.question.name"} {
		if names[name] != want {
			t.Errorf("field %s is in %d documents, want %d", name, names[name], want)
		}
	}
	for name := range names {
		if name == "" || name[0] == '_' || name == "http.url" {
			t.Errorf("field %q is in no such document", name)
		}
	}
}

func refused(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	docs := generate(5)
	now := time.Now()
	for i, d := range []store.Doc{
		{ID: "x1", Time: now, JSON: []byte(`{"a":`)},
		{ID: "x2", Time: now, JSON: []byte(`{"event":{"id":"other"}}`)},
		docAt("x3", now.Add(-400*24*time.Hour), false, `"n":1`),
		docAt("x4", now.Add(72*time.Hour), false, `"n":1`),
		docAt("x5", now.Add(72*time.Hour), true, `"n":1`),
	} {
		docs = slices.Insert(docs, i, d)
	}
	tested := map[int]string{}
	tester, tests := s.(store.Tester)
	for i := range docs {
		if tests {
			if err := tester.Test(t.Context(), docs[i]); err != nil {
				tested[i] = fault.Of(err).Code
			}
		}
	}
	err := s.Write(t.Context(), docs)
	refused, ok := errors.AsType[store.DocErrors](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	got := map[int]string{}
	for i, err := range refused {
		f := fault.Of(err)
		got[i] = f.Code
		if f.Class != fault.Permanent {
			t.Errorf("document %d: %v is not permanent", i, err)
		}
	}
	want := map[int]string{0: store.CodeNotJSON, 1: store.CodeID, 2: store.CodeTooOld, 3: store.CodeFuture, 4: store.CodeFuture}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(got, tested); tests && d != "" {
		t.Errorf("a test says otherwise than a write:\n%s", d)
	}
	write(t, s)
	if n := count(t, s, ""); n != 5 {
		t.Errorf("%d documents stored beside the refused ones, want 5", n)
	}
	// Mended, it is stored: its id was not taken.
	write(t, s, docAt("x1", now, false, `"n":1`))
	if n := count(t, s, ""); n != 6 {
		t.Errorf("%d documents after one was mended, want 6", n)
	}
}

func cancelled(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	write(t, s, generate(100)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Search(ctx, store.Search{}); !errors.Is(err, context.Canceled) {
		t.Errorf("search: %v", err)
	}
	if _, err := s.Count(ctx, nil, store.Range{}); !errors.Is(err, context.Canceled) {
		t.Errorf("count: %v", err)
	}
	if _, err := s.Facet(ctx, nil, store.Range{}, "event.module", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("facet: %v", err)
	}
	if _, err := s.Histogram(ctx, nil, store.Range{}, time.Hour, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("histogram: %v", err)
	}
	if _, err := s.Fields(ctx, nil, store.Range{}); !errors.Is(err, context.Canceled) {
		t.Errorf("fields: %v", err)
	}
}

func subscribe(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	q := query(t, `event.dataset:suricata.dns -dns.question.name:mail`)
	sub := s.Subscribe(q, 1000)
	small := s.Subscribe(nil, 1)
	docs := append(generate(500), oddities()...)
	write(t, s, docs...)
	write(t, s, docs...) // nothing new
	sub.Close()
	sub.Close()
	small.Close()
	var got []string
	for d := range sub.C {
		got = append(got, ids([]json.RawMessage{d})...)
	}
	want := newModel(docs).ids(q, store.Range{})
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" || len(want) == 0 {
		t.Errorf("%d wanted: %s", len(want), d)
	}
	if n := small.Missed(); n != uint64(len(docs)-1) {
		t.Errorf("a slow subscriber missed %d, want %d", n, len(docs)-1)
	}
}

func captures(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	docs := []store.Doc{
		docAt("1970", time.Unix(1, 5).UTC(), true, `"n":1`),
		docAt("2004", time.Date(2004, 5, 13, 10, 17, 7, 311224000, time.UTC), true, `"n":2`),
		docAt("2017", time.Date(2017, 6, 1, 0, 0, 0, 0, time.UTC), true, `"n":3`),
		docAt("now", time.Now().UTC().Add(-time.Minute), false, `"n":4`),
	}
	write(t, s, docs...)
	write(t, s, docs...)
	for limit := 1; limit < 5; limit++ {
		got := ids(all(t, s, store.Search{Limit: limit}))
		if d := cmp.Diff([]string{"now", "2017", "2004", "1970"}, got); d != "" {
			t.Error(d)
		}
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Documents != 4 || st.Bytes == 0 {
		t.Errorf("got %+v %v, want 4 documents", st, err)
	}
}

// reruns checks that what a rerun made, even of an old capture, is apart from
// the rest in every answer.
func reruns(t *testing.T, open Open) {
	dir := t.TempDir()
	s, closeStore := open(t, dir)
	sub := s.Subscribe(nil, 10)
	now := time.Now().UTC()
	again := func(id, run string, at time.Time) store.Doc {
		d := docAt(id, at, false, `"n":1,"decoder":{"rerun":{"id":"`+run+`"}}`)
		d.Rerun = true
		return d
	}
	docs := []store.Doc{
		docAt("live", now.Add(-time.Minute), false, `"n":1`), docAt("capture", now.Add(-time.Hour), true, `"n":1`),
		again("a1", "a", now.Add(-time.Second)), again("a2", "a", time.Date(2004, 5, 13, 0, 0, 0, 0, time.UTC)), again("b1", "b", now.Add(-time.Minute)),
	}
	write(t, s, docs...)
	write(t, s, docs...)
	sub.Close()
	if n := len(sub.C); n != 2 {
		t.Errorf("a subscriber got %d documents, want 2", n)
	}
	check := func() {
		t.Helper()
		for text, want := range map[string][]string{
			"":                                    {"live", "capture"},
			"n:1":                                 {"live", "capture"},
			`decoder.rerun.id:a`:                  {"a1", "a2"},
			`n:1 decoder.rerun.id:*`:              {"a1", "b1", "a2"},
			`n:1 -decoder.rerun.id:a`:             {"live", "b1", "capture"},
			`event.id:live OR decoder.rerun.id:b`: {"live", "b1"},
			`decoder.rerun.id:c`:                  nil,
		} {
			if d := cmp.Diff(want, ids(all(t, s, store.Search{Query: query(t, text), Limit: 2}))); d != "" {
				t.Errorf("%q: %s", text, d)
			}
			if n := count(t, s, text); n != uint64(len(want)) {
				t.Errorf("%q: counted %d", text, n)
			}
		}
	}
	check()
	facet, err := s.Facet(t.Context(), query(t, "n:1"), store.Range{}, "event.id", 10)
	if err != nil || len(facet) != 2 {
		t.Errorf("facet %v, %v", facet, err)
	}
	runs, err := s.Facet(t.Context(), nil, store.Range{}, store.FieldRerun, 10)
	if d := cmp.Diff([]store.Bucket{{Value: "a", Count: 2}, {Value: "b", Count: 1}}, runs); d != "" || err != nil {
		t.Errorf("runs: %s %v", d, err)
	}
	series, err := s.Histogram(t.Context(), nil, store.Range{From: now.Add(-2 * time.Hour), To: now}, time.Hour, "")
	var n uint64
	for _, b := range series[""] {
		n += b.Count
	}
	if err != nil || n != 2 {
		t.Errorf("histogram %v, %v", series, err)
	}
	closeStore()
	s, _ = open(t, dir)
	check()
	write(t, s, docs...)
	check()
}

func cursors(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	for _, c := range []string{"x", "!!", "MTIz", "LTEgYQ"} {
		if _, err := s.Search(t.Context(), store.Search{Cursor: c}); !errors.Is(err, store.ErrCursor) {
			t.Errorf("cursor %q: %v", c, err)
		}
	}
}

func empty(t *testing.T, open Open) {
	s, _ := open(t, t.TempDir())
	if p, err := s.Search(t.Context(), store.Search{}); err != nil || len(p.Docs) != 0 || p.Cursor != "" {
		t.Errorf("search: %v %v", p, err)
	}
	if n := count(t, s, "x"); n != 0 {
		t.Errorf("counted %d", n)
	}
	write(t, s)
}

func reopened(t *testing.T, open Open) {
	dir := t.TempDir()
	s, closeStore := open(t, dir)
	docs := generate(100)
	write(t, s, docs...)
	closeStore()
	s, _ = open(t, dir)
	want := newModel(docs).ids(nil, store.Range{})
	if d := cmp.Diff(want, ids(all(t, s, store.Search{Limit: 1000}))); d != "" {
		t.Error(d)
	}
}

func decode(t *testing.T, doc []byte) any {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return v
}
