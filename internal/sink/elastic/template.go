package elastic

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/decodersring/decoder/internal/event/ecs"
)

// templateVersion grows with what the template says.
const templateVersion = 1

// Objects of fields that are not ECS's: what formats, sources and the mail
// stages keep beside it. They are searched by the names of their leaves as
// keywords, so that whatever a sender puts there can neither make the mapping
// grow nor fit it badly.
var foreign = []string{"json", "mail", "osquery", "suricata", "syslog", "zeek"}

type object = map[string]any

// templateFor returns the index template, as both servers take it.
func templateFor(prefix string, v server) []byte {
	leaf := object{"type": "flattened", "ignore_above": 1024, "depth_limit": 64}
	if v.opensearch {
		leaf = object{"type": "flat_object"}
	}
	properties := object{}
	for _, name := range ecs.Names() {
		f, _ := ecs.Find(name)
		put(properties, strings.Split(name, "."), fieldOf(name, f, leaf))
	}
	for _, name := range foreign {
		properties[name] = leaf
	}
	// A map of strings and numbers always becomes JSON.
	out, _ := json.Marshal(object{
		"index_patterns": []string{prefix + "-" + kindEvents + "-*", prefix + "-" + kindAlerts + "-*", prefix + "-" + kindCaptures + "-*"},
		"priority":       200,
		"version":        templateVersion,
		"_meta":          object{"managed_by": "decoder", "ecs_version": ecs.Version},
		"template": object{
			"settings": object{"index": object{
				"auto_expand_replicas": "0-1", // one node is whole without replicas
				"codec":                "best_compression",
				"mapping": object{
					"ignore_malformed": true, // a document with one odd value is kept and found by the others
					"total_fields":     object{"limit": len(ecs.Names()) * 2},
				},
				"query": object{"default_field": []string{
					"message", "error.message", "rule.name", "decoder.alert.title", "email.subject", "email.from.address",
					"host.name", "source.address", "destination.address", "dns.question.name", "url.full", "related.hosts", "related.user",
				}},
			}},
			// What is not named here is kept in _source, and not indexed.
			"mappings": object{"dynamic": false, "properties": properties},
		},
	})
	return out
}

// fieldOf returns a field's mapping, nil for an object with fields of its own.
func fieldOf(name string, f ecs.Field, leaf object) object {
	switch f.Type {
	case ecs.Object:
		if hasFields(name) {
			return nil
		}
		return leaf
	case ecs.Keyword:
		if name == "event.original" {
			return object{"type": "keyword", "index": false, "doc_values": false}
		}
		return object{"type": "keyword", "ignore_above": 1024}
	}
	return object{"type": string(f.Type)}
}

func hasFields(name string) bool {
	all := ecs.Names()
	i, _ := slices.BinarySearch(all, name+".")
	return i < len(all) && strings.HasPrefix(all[i], name+".")
}

// put places a field's mapping at its path.
func put(properties object, path []string, field object) {
	for _, name := range path[:len(path)-1] {
		at, _ := properties[name].(object)
		if at == nil {
			at = object{"properties": object{}}
			properties[name] = at
		}
		properties, _ = at["properties"].(object)
	}
	if field != nil {
		properties[path[len(path)-1]] = field
	}
}
