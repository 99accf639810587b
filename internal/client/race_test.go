//go:build race

package client_test

// raceDetector makes everything slower, so that times mean nothing.
const raceDetector = true
