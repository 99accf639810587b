// Package elastic is the sink that puts events and alerts into Elasticsearch
// (7.10 and newer) or OpenSearch (2.7 and newer), by their bulk API. It owns
// the names of the indexes and the index template; it knows nothing of what is
// in the documents but the fields of ECS and their types.
//
// A document's index and _id follow from the document alone, and it is sent
// with "create": one that is there already is answered with 409 and counts as
// written, so doing work again changes nothing. Indexes by time instead of a
// data stream are for that: a data stream tells apart what is new only within
// the index it is writing to now.
//
// What the other side answers decides who is at fault (see classes.go): a
// mapping that refuses a document, that document alone; everything that
// concerns more than one, nobody.
package elastic
