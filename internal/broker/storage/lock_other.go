//go:build !unix

package storage

// lockDir does nothing where there is no flock.
func lockDir(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}
