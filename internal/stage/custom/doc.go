// Package custom makes stages of what a user wrote in the configuration:
// filter, map and route by an expression, conversion between formats, calls of
// an HTTP service, and a program of any language. It knows no event format but
// what the expressions name.
//
// Expressions are those of github.com/expr-lang/expr, without its clock, so
// that the same record gives the same result. A field that is missing is nil,
// however deep. They see:
//
//	event    the record's value, parsed as JSON
//	record   topic, partition, offset, key, headers, origin
//	cidr(ip, network)   whether the address lies in the network
package custom
