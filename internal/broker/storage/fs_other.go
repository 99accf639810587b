//go:build !unix

package storage

import "math"

// Free implements [FS]. The free space is not known here, so the guard is off.
func (OS) Free(string) (uint64, error) { return math.MaxInt64, nil }

// Lock implements [FS]. There is no lock here.
func (OS) Lock(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}
