// Package peers tests the embedded log with every Kafka client that must work
// with it. It is a module of its own, so that the product's go.mod lists what
// the product needs.
package peers
