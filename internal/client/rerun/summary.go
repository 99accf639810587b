package rerun

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

// Summary is the little of a document that tells a person which one it is.
type Summary struct {
	Time     string  `json:"time,omitempty"`     // @timestamp
	Title    string  `json:"title,omitempty"`    // of an alert; else the message, or the dataset
	Severity string  `json:"severity,omitempty"` // of an alert
	Score    float64 `json:"score,omitempty"`    // of an alert or a verdict
}

// Bounds of what is shown of one document.
const (
	maxFields   = 20
	maxTitle    = 300
	maxDocument = 256 << 10 // of which fields are compared
)

// described is a document on its way into a list of differences.
type described struct {
	Change
	of    *Changes
	again map[string]any // as the run made it, without what marks it
}

// take notes what the document says, in the run or in the live one; the run's
// comes first. Nothing is noted on nil.
func (d *described) take(id, topic string, value []byte, again bool) {
	if d == nil {
		return
	}
	d.ID, d.Topic = id, topic
	document := object(value)
	s := summary(document)
	if again {
		d.Now = &s
		if len(value) <= maxDocument {
			d.again = unmarked(document)
		}
		return
	}
	d.Was = &s
	if d.again != nil && d.Now != nil {
		d.Fields = differing(unmarked(document), d.again)
	}
}

func summary(document map[string]any) Summary {
	text := func(path ...string) string {
		s, _ := field(document, path...).(string)
		if r := []rune(s); len(r) > maxTitle {
			s = string(r[:maxTitle]) + "…"
		}
		return s
	}
	s := Summary{
		Time: text("@timestamp"), Severity: text("decoder", "alert", "severity"),
		Title: cmp.Or(text("decoder", "alert", "title"), text("message"), text("event", "dataset")),
	}
	if score, is := field(document, "event", "risk_score").(json.Number); is {
		s.Score, _ = score.Float64() // what is too large is no score
	}
	return s
}

func field(document map[string]any, path ...string) any {
	var v any = document
	for _, name := range path {
		inner, _ := v.(map[string]any)
		v = inner[name]
	}
	return v
}

// unmarked takes out of a document what says which run made it.
func unmarked(document map[string]any) map[string]any {
	if own, is := document["decoder"].(map[string]any); is {
		delete(own, "rerun")
		if len(own) == 0 {
			delete(document, "decoder")
		}
	}
	if e, is := document["event"].(map[string]any); is {
		delete(e, "id")
	}
	return document
}

// differing names the fields in which two documents differ, the first
// maxFields of them.
func differing(a, b map[string]any) (fields []string) {
	var walk func(path string, a, b any)
	walk = func(path string, a, b any) {
		x, isX := a.(map[string]any)
		y, isY := b.(map[string]any)
		if !isX || !isY {
			if !reflect.DeepEqual(a, b) && len(fields) < maxFields {
				fields = append(fields, path)
			}
			return
		}
		names := maps.Clone(x)
		maps.Copy(names, y)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			at := name
			if path != "" {
				at = path + "." + name
			}
			walk(at, x[name], y[name])
		}
	}
	walk("", a, b)
	return fields
}

func before(a, b Change) int {
	time := func(c Change) string {
		if c.Now != nil {
			return c.Now.Time
		}
		if c.Was != nil {
			return c.Was.Time
		}
		return ""
	}
	return cmp.Or(cmp.Compare(time(b), time(a)), cmp.Compare(a.ID, b.ID))
}
