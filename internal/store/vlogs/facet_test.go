package vlogs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/store"
)

func TestEachValueOfAListCountsOnce(t *testing.T) {
	for text, want := range map[string][]string{
		"":                      nil,
		"plain":                 {"plain"},
		"[no list":              {"[no list"},
		`["a"]`:                 {"a"},
		`["a","b","a","b,c"]`:   {"a", "b", "b,c"},
		`["ab","b","a"]`:        {"ab", "b", "a"},
		`["",""]`:               {""},
		`["q\"","q\""]`:         {`q"`},
		`[1,2,1]`:               {"1", "2"},
		`["a",1]`:               {"1", "a"},
		`[{"a":1}]`:             nil,
		`["preauth] text"]`:     {"preauth] text"},
		`["a",["b"],{"c":"d"}]`: {"a"},
	} {
		var got []string
		eachValue(text, func(v string) { got = append(got, v) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestTheMostFrequentAreKept(t *testing.T) {
	k := keeper{most: 100, counts: counts{}}
	for i := range 10_000 {
		k.add(fmt.Sprint("rare ", i))
		if i%10 == 0 {
			k.add("often")
		}
	}
	if len(k.counts) > 101 {
		t.Errorf("%d values kept", len(k.counts))
	}
	if _, ok := k.counts["often"]; !ok {
		t.Errorf("the value that came 1000 times is forgotten, %d counts lost", k.lost)
	}
	if k.lost >= 1000 {
		t.Errorf("%d counts lost", k.lost)
	}
}

func TestFacetsOfManyValuesAreExactOrRefused(t *testing.T) {
	s, _ := openStore(t, Config{Dir: t.TempDir(), MinFreeBytes: -1, Memory: 16 << 20})
	var docs []store.Doc
	base := time.Now().Add(-time.Hour)
	for i := range 150_000 {
		d := simpleDoc(strconv.Itoa(i), base.Add(time.Duration(i)*time.Microsecond), false)
		host := fmt.Sprintf("host-%d", i)
		if i%50 == 0 {
			host = fmt.Sprintf("often-%d", i%150)
		}
		d.JSON = fmt.Appendf(d.JSON[:len(d.JSON)-1], `,"host":{"name":"%s"}}`, host)
		docs = append(docs, d)
	}
	mustWrite(t, s, docs...)
	end := store.Range{}
	got, err := s.frequent(t.Context(), s.folders(), `"host.name":* | fields "host.name"`, end, "host.name", 3)
	want := []store.Bucket{{Value: "often-0", Count: 1000}, {Value: "often-100", Count: 1000}, {Value: "often-50", Count: 1000}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v %v, want %v", got, err, want)
	}
	if _, err := s.frequent(t.Context(), s.folders(), `* | fields "event.id"`, end, "event.id", 3); !errors.Is(err, store.ErrTooBroad) {
		t.Errorf("ids: got %v", err)
	}
}
