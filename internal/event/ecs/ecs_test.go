package ecs

import (
	"slices"
	"testing"
)

func TestFieldsHaveTheTypesOfTheSchema(t *testing.T) {
	for name, want := range map[string]Field{
		"@timestamp":                     {Type: Date},
		"source.ip":                      {Type: IP},
		"destination.port":               {Type: Long},
		"source.geo.location":            {Type: GeoPoint},
		"event.duration":                 {Type: Long},
		"event.risk_score":               {Type: Float},
		"related.ip":                     {Type: IP, Array: true},
		"dns.answers":                    {Type: Object, Array: true},
		"tls.established":                {Type: Boolean},
		"process.parent.pid":             {Type: Long},
		"tls.server.x509.not_after":      {Type: Date},
		"file.hash.sha256":               {Type: Keyword},
		"threat.technique.id":            {Type: Keyword, Array: true},
		"decoder.alert.checks.points":    {Type: Float},
		"process.entry_leader.args":      {Type: Keyword, Array: true},
		"host.os.name":                   {Type: Keyword},
		"threat.indicator.file.hash.md5": {Type: Keyword},
	} {
		if got, ok := Find(name); !ok || got.Type != want.Type || got.Array != want.Array {
			t.Errorf("%s: got %+v %v, want %+v", name, got, ok, want)
		}
	}
	if got := Lookup("suricata.eve.flow_id"); got != Unknown {
		t.Errorf("a field outside the schema has type %q", got)
	}
}

func TestEveryFieldHasAKnownType(t *testing.T) {
	known := []Type{Keyword, Text, Long, Float, Boolean, Date, IP, GeoPoint, Object}
	for _, name := range Names() {
		if !slices.Contains(known, Lookup(name)) {
			t.Errorf("%s has type %q", name, Lookup(name))
		}
	}
	if f, _ := Find("event.type"); !slices.Contains(f.Allowed, "connection") {
		t.Errorf("event.type allows %q", f.Allowed)
	}
}

func TestEveryCategoryExpectsAllowedTypes(t *testing.T) {
	categories, _ := Find("event.category")
	types, _ := Find("event.type")
	for _, c := range categories.Allowed {
		expected := ExpectedTypes(c)
		if len(expected) == 0 {
			t.Errorf("category %s expects no type", c)
		}
		for _, e := range expected {
			if !slices.Contains(types.Allowed, e) {
				t.Errorf("category %s expects %s, which is no type", c, e)
			}
		}
	}
	if got := ExpectedTypes("none"); got != nil {
		t.Errorf("no category expects %q", got)
	}
}
