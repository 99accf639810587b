package storage

import (
	"io"
	"io/fs"
	"os"
)

// FS is the part of a file system the log needs. Every file operation of the
// package goes through it, so that tests can make any of them fail.
type FS interface {
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	MkdirAll(name string, perm fs.FileMode) error
	Rename(from, to string) error
	// RemoveAll removes a file, or a directory with all there is in it, if
	// there is one.
	RemoveAll(name string) error
	ReadDir(name string) ([]fs.DirEntry, error)
	// SyncDir makes the entries of a directory durable: what was created,
	// renamed or removed in it before the call.
	SyncDir(name string) error
	// Free returns the bytes an unprivileged user may still write.
	Free(name string) (uint64, error)
	// Lock keeps other processes out of the folder until unlock is called or
	// the process ends.
	Lock(dir string) (unlock func() error, err error)
}

// File is an open file. ReadAt and WriteAt may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync returns when the file's data, and what is needed to read it back,
	// is on the disk (fdatasync).
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// OS is the operating system's file system.
type OS struct{}

// OpenFile implements [FS].
func (OS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// MkdirAll implements [FS].
func (OS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

// Rename implements [FS].
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// RemoveAll implements [FS].
func (OS) RemoveAll(name string) error { return os.RemoveAll(name) }

// ReadDir implements [FS].
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// SyncDir implements [FS].
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
