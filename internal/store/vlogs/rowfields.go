package vlogs

import (
	"strings"

	"github.com/decodersring/decoder/internal/event"
)

// rowFields is a row as a query sees it.
type rowFields []field

// Values returns the texts of a column.
func (r rowFields) Values(name string) (values []string, list bool) {
	if isReserved(name) {
		return nil, false
	}
	for _, f := range r {
		if f.Name == name {
			return columnValues(f.Value)
		}
	}
	return nil, false
}

// Any reports whether a column has values of which ok is true.
func (r rowFields) Any(ok func(values []string) bool) bool {
	for _, f := range r {
		if isReserved(f.Name) {
			continue
		}
		if values, _ := columnValues(f.Value); len(values) > 0 && ok(values) {
			return true
		}
	}
	return false
}

// columnValues takes a column apart: the elements of an array, else the text.
// Arrays that are no JSON are texts that look like one. The strings are copies.
func columnValues(v string) (values []string, list bool) {
	switch {
	case v == "":
		return nil, false
	case v[0] != '[':
		return []string{strings.Clone(v)}, false
	}
	var f event.Flattener
	err := f.Flatten([]byte(`{"":`+v+`}`), func(_, array []byte, kind event.Kind) error {
		if kind != event.Array {
			return nil
		}
		list = true
		new(elements).each(array, func(e []byte, kind event.Kind) {
			if kind != event.Object && kind != event.Array {
				values = append(values, string(e))
			}
		})
		return nil
	})
	if err != nil || !list {
		return []string{strings.Clone(v)}, false
	}
	return values, true
}
