package storage

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// crashFS is a file system in memory that knows what a power failure leaves:
// of a file, what was synced, and of what was written since any part of it, in
// pages; of the directories, what SyncDir saw, and a first part of what was
// done since. A write that fails has written a half; a sync that fails any
// part, and the next one does not try the rest again.
type crashFS struct {
	mu      sync.Mutex
	rnd     *rand.Rand
	now     map[string]*inode
	durable map[string]*inode
	pending []func(map[string]*inode) // changes of directories since SyncDir
	dead    bool                      // the power has failed
	ops     int                       // changes so far
	failAt  int                       // the power fails at this change; 0: never
	hook    func(op, name string) error
	reads   int64 // bytes read from logs
	syncs   int
	free    atomic.Int64 // bytes; 0: a lot
}

// inode is a file.
type inode struct {
	dir     bool
	data    []byte
	durable []byte
	pending []change
}

type change struct {
	at   int64
	data []byte // nil: truncated to at
}

const page = 4096

var errPower = errors.New("the power has failed")

func newCrashFS(seed uint64) *crashFS {
	return &crashFS{
		rnd: rand.New(rand.NewPCG(seed, 1)),
		now: map[string]*inode{}, durable: map[string]*inode{},
	}
}

// step is called, locked, before each change.
func (c *crashFS) step(op, name string) error {
	c.ops++
	if c.failAt > 0 && c.ops >= c.failAt {
		c.dead = true
	}
	if c.dead {
		return errPower
	}
	if c.hook != nil {
		return c.hook(op, name)
	}
	return nil
}

// crash returns what is on the disk after the power failed.
func (c *crashFS) crash() *crashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	n := newCrashFS(c.rnd.Uint64())
	tree := c.durable
	for _, op := range c.pending[:c.rnd.IntN(len(c.pending)+1)] {
		op(tree)
	}
	for name, i := range tree {
		data := i.survives(c.rnd)
		n.now[name] = &inode{dir: i.dir, data: data, durable: slices.Clone(data)}
		n.durable[name] = n.now[name]
	}
	return n
}

// kill returns the file system as a killed process leaves it: nothing is lost
// yet, and what was not synced is still to be.
func (c *crashFS) kill() *crashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	n := newCrashFS(c.rnd.Uint64())
	n.now, n.durable, n.pending = maps.Clone(c.now), maps.Clone(c.durable), c.pending
	return n
}

// survives applies to what was synced any part of what was written since.
func (i *inode) survives(rnd *rand.Rand) []byte {
	data := slices.Clone(i.durable)
	luck := rnd.IntN(3) // all, none, or each page by chance
	for _, ch := range i.pending {
		if ch.data == nil {
			if luck == 0 || luck == 2 && rnd.IntN(2) == 0 {
				data = resize(data, ch.at)
			}
			continue
		}
		for from := 0; from < len(ch.data); {
			to := min(len(ch.data), from+page-int(ch.at+int64(from))%page)
			if luck == 0 || luck == 2 && rnd.IntN(2) == 0 {
				data = put(data, ch.data[from:to], ch.at+int64(from))
			}
			from = to
		}
	}
	return data
}

func resize(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		return b[:n:n]
	}
	return append(b, make([]byte, n-int64(len(b)))...)
}

func put(b, data []byte, at int64) []byte {
	if end := at + int64(len(data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[at:], data)
	return b
}

// tree records a change of the directories.
func (c *crashFS) tree(op func(map[string]*inode)) {
	op(c.now)
	c.pending = append(c.pending, op)
}

func (c *crashFS) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return nil, errPower
	}
	i := c.now[name]
	if i == nil {
		if flag&os.O_CREATE == 0 || c.now[filepath.Dir(name)] == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if err := c.step("create", name); err != nil {
			return nil, err
		}
		i = &inode{}
		c.tree(func(t map[string]*inode) { t[name] = i })
	}
	if flag&os.O_TRUNC != 0 && len(i.data) > 0 {
		if err := c.step("truncate", name); err != nil {
			return nil, err
		}
		i.data = nil
		i.pending = append(i.pending, change{})
	}
	return &crashFile{fs: c, name: name, inode: i}, nil
}

func (c *crashFS) MkdirAll(name string, perm fs.FileMode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mkdirAll(name)
}

func (c *crashFS) mkdirAll(name string) error {
	if c.now[name] != nil || name == "." || name == "/" {
		return nil
	}
	if err := c.mkdirAll(filepath.Dir(name)); err != nil {
		return err
	}
	if err := c.step("mkdir", name); err != nil {
		return err
	}
	i := &inode{dir: true}
	c.tree(func(t map[string]*inode) { t[name] = i })
	return nil
}

func under(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

func (c *crashFS) Rename(from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step("rename", from); err != nil {
		return err
	}
	if c.now[from] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	c.tree(func(t map[string]*inode) {
		for _, name := range names(t) {
			if under(name, from) {
				t[to+strings.TrimPrefix(name, from)] = t[name]
				delete(t, name)
			}
		}
	})
	return nil
}

func names(t map[string]*inode) []string {
	var out []string
	for name := range t {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (c *crashFS) RemoveAll(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := names(c.now)
	slices.Reverse(all)
	for _, n := range all {
		if under(n, name) {
			if err := c.step("remove", n); err != nil {
				return err
			}
			c.tree(func(t map[string]*inode) { delete(t, n) })
		}
	}
	return nil
}

type dirEntry struct {
	name string
	dir  bool
}

func (d dirEntry) Name() string               { return d.name }
func (d dirEntry) IsDir() bool                { return d.dir }
func (d dirEntry) Type() fs.FileMode          { return 0 }
func (d dirEntry) Info() (fs.FileInfo, error) { return nil, errors.ErrUnsupported }

func (c *crashFS) ReadDir(name string) ([]fs.DirEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now[name] == nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var out []fs.DirEntry
	for _, n := range names(c.now) {
		if filepath.Dir(n) == name && n != name {
			out = append(out, dirEntry{filepath.Base(n), c.now[n].dir})
		}
	}
	return out, nil
}

func (c *crashFS) SyncDir(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step("syncdir", name); err != nil {
		return err
	}
	for _, op := range c.pending {
		op(c.durable)
	}
	c.pending = nil
	return nil
}

// Free says what the test set, else a lot.
func (c *crashFS) Free(string) (uint64, error) {
	if free := c.free.Load(); free > 0 {
		return uint64(free), nil
	}
	return 1 << 40, nil
}

func (c *crashFS) Lock(string) (func() error, error) { return func() error { return nil }, nil }

type crashFile struct {
	fs    *crashFS
	name  string
	inode *inode
}

func (f *crashFile) ReadAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if strings.HasSuffix(f.name, logSuffix) {
		f.fs.reads += int64(len(b))
	}
	if at >= int64(len(f.inode.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.inode.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *crashFile) WriteAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.fs.step("write", f.name)
	if f.fs.dead {
		return 0, err
	}
	if err != nil {
		b = b[:len(b)/2]
	}
	f.inode.data = put(f.inode.data, b, at)
	f.inode.pending = append(f.inode.pending, change{at: at, data: slices.Clone(b)})
	return len(b), err
}

func (f *crashFile) Truncate(n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step("truncate", f.name); err != nil {
		return err
	}
	f.inode.data = resize(f.inode.data, n)
	f.inode.pending = append(f.inode.pending, change{at: n})
	return nil
}

func (f *crashFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step("sync", f.name); err != nil {
		if !f.fs.dead { // what it could not write it calls clean
			f.inode.durable, f.inode.pending = f.inode.survives(f.fs.rnd), nil
		}
		return err
	}
	f.fs.syncs++
	for _, ch := range f.inode.pending {
		if ch.data == nil {
			f.inode.durable = resize(f.inode.durable, ch.at)
		} else {
			f.inode.durable = put(f.inode.durable, ch.data, ch.at)
		}
	}
	f.inode.pending = nil
	return nil
}

func (f *crashFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.inode.data)), nil
}

func (f *crashFile) Close() error { return nil }
