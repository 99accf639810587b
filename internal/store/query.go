package store

// Query is a parsed query. Its zero value matches every document.
type Query struct{}
