package wire

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill gives every field of a request a value and every array two elements.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth)
	case reflect.String:
		v.SetString("text")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "Version" && f.Name != "UnknownTags" && f.Name != "ReplicaState" {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(3)
	case reflect.Bool:
		v.SetBool(true)
	}
}

func TestShapesAreThoseOfTheRequests(t *testing.T) {
	for key, a := range apis() {
		if a.handle == nil {
			continue // it is not decoded from a frame
		}
		for v := a.min; v <= a.max; v++ {
			req := kmsg.RequestForKey(key)
			req.SetVersion(v)
			if req.IsFlexible() && a.shape.from == 0 && a.shape.fields == nil {
				t.Errorf("%s version %d has no shape", kmsg.NameForKey(key), v)
				continue
			}
			fill(reflect.ValueOf(req).Elem(), 0)
			body := req.AppendTo(nil)
			h := requestHead{key: key, version: v}
			if err := a.shape.check(h, req.IsFlexible(), body); err != nil {
				t.Errorf("%s version %d: %v", kmsg.NameForKey(key), v, err)
			}
			if v < a.shape.from || a.shape.fields == nil {
				continue
			}
			w := walker{b: body, version: v, flexible: req.IsFlexible()}
			w.fields(a.shape.fields)
			if w.flexible {
				w.tags(false)
			}
			if len(w.b) != 0 {
				t.Errorf("%s version %d: %d bytes are left", kmsg.NameForKey(key), v, len(w.b))
			}
			for n := range body {
				if a.shape.check(h, req.IsFlexible(), body[:n]) == nil {
					t.Errorf("%s version %d: %d of %d bytes are enough", kmsg.NameForKey(key), v, n, len(body))
				}
			}
		}
	}
}

// Whatever is named is written down behind 16 bits of length.
func TestStringIsNoLongerThanCanBeWrittenDown(t *testing.T) {
	for n, refused := range map[int]bool{math.MaxInt16: false, math.MaxInt16 + 1: true} {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version, req.Group = 4, strings.Repeat("g", n)
		err := apis()[req.Key()].shape.check(requestHead{key: req.Key(), version: 4}, true, req.AppendTo(nil))
		if (err != nil) != refused {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
