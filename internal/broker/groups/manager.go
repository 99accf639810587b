package groups

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// Log is where groups are kept. Append writes the records as one batch; done
// returns when they are durable. Each calls fn for every record in order; a
// nil value removes its key.
type Log interface {
	Append(records []Record) (offset int64, done func(context.Context) error, err error)
	Each(fn func(key, value []byte)) error
}

// Record is a key and a value of the log; a nil value is a tombstone.
type Record struct{ Key, Value []byte }

// Config bounds groups.
type Config struct {
	Retention    time.Duration // of the offsets of a group without members; 0: 7 days
	InitialDelay time.Duration // how long a new group waits for more members; 0: 200 ms
	MaxMembers   int           // of one group; 0: 1000
	MaxGroups    int           // 0: 10,000
	Log          *slog.Logger
	// Ends returns the offsets behind what the log holds, of a group that is new;
	// what lies before them is not counted as unread ([Manager.Readings]). nil:
	// everything counts.
	Ends func(group string) map[string]map[int32]int64
	// Topic returns a topic's id, if it has the partition: what is committed
	// counts for the topic of that id. nil: every one has, and the id 0.
	Topic func(topic string, partition int32) (id [16]byte, ok bool)
}

// What a member may ask for.
const (
	minSessionTimeout  = time.Second
	maxSessionTimeout  = 30 * time.Minute
	maxRebalanceMillis = 60 * 60 * 1000
	// maxName is how long the name of a group or an instance may be: it is in
	// every record of it.
	maxName = 1024
	// maxGroupBytes is what the members of a group may say of themselves, all
	// together: it is one record, and one answer to the leader.
	maxGroupBytes = 4 << 20
)

// Client is who asks.
type Client struct{ ID, Host string }

// Manager holds all groups.
type Manager struct {
	cfg Config
	log Log

	mu     sync.Mutex
	groups map[string]*group
	closed bool
}

// New returns a manager that has read nothing yet.
func New(cfg Config, log Log) *Manager {
	cfg.Retention = cmp.Or(cfg.Retention, 7*24*time.Hour)
	cfg.InitialDelay = cmp.Or(cfg.InitialDelay, 200*time.Millisecond)
	cfg.MaxMembers = cmp.Or(cfg.MaxMembers, 1000)
	cfg.MaxGroups = cmp.Or(cfg.MaxGroups, 10_000)
	if cfg.Topic == nil {
		cfg.Topic = func(string, int32) (id [16]byte, ok bool) { return id, true }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{cfg: cfg, log: log, groups: map[string]*group{}}
}

// Run expires offsets until ctx ends, then ends what waits.
func (m *Manager) Run(ctx context.Context) error {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			m.close()
			return nil
		case <-t.C:
			m.expire()
		}
	}
}

func (m *Manager) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	for g := range m.all() {
		g.stop(code.CoordinatorNotAvailable)
	}
}

// all yields the groups by name, each locked.
func (m *Manager) all() iter.Seq[*group] {
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.groups))
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b *group) int { return cmp.Compare(a.id, b.id) })
	return func(yield func(*group) bool) {
		for _, g := range all {
			g.mu.Lock()
			more := g.state == dead || yield(g)
			g.mu.Unlock()
			if !more {
				return
			}
		}
	}
}

// lock returns the group of the name, locked; nil when there is none. With
// create it is made.
func (m *Manager) lock(id string, create bool) (*group, int16) {
	if id == "" || len(id) > maxName {
		return nil, code.InvalidGroupID
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, code.CoordinatorNotAvailable
	}
	g := m.groups[id]
	if g == nil {
		if !create {
			return nil, code.GroupIDNotFound
		}
		if len(m.groups) >= m.cfg.MaxGroups {
			return nil, code.GroupMaxSizeReached
		}
		g = newGroup(m, id)
		if m.cfg.Ends != nil {
			g.began = m.cfg.Ends(id)
		}
		m.groups[id] = g
	}
	// A group's lock is never held while waiting for a disk or m.mu.
	g.mu.Lock()
	if g.deleting || g.state == dead {
		g.mu.Unlock()
		return nil, code.CoordinatorNotAvailable
	}
	return g, code.None
}

// Count returns how many groups there are.
func (m *Manager) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.groups)
}

// List answers a ListGroups request.
func (m *Manager) List(req *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	for g := range m.all() {
		r := kmsg.NewListGroupsResponseGroup()
		r.Group, r.ProtocolType, r.GroupState, r.GroupType = g.id, g.protocolType, g.state.String(), "classic"
		if matches(req.StatesFilter, r.GroupState) && matches(req.TypesFilter, r.GroupType) {
			resp.Groups = append(resp.Groups, r)
		}
	}
	return resp
}

// matches says whether a filter lets the value through; case does not count.
func matches(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}

// Describe answers a DescribeGroups request.
func (m *Manager) Describe(req *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, id := range req.Groups {
		r := kmsg.NewDescribeGroupsResponseGroup()
		r.Group = id
		g, c := m.lock(id, false)
		switch {
		case c == code.GroupIDNotFound:
			r.State = dead.String()
			if req.Version >= 6 {
				r.ErrorCode = c
			}
		case c != code.None:
			r.ErrorCode = c
		default:
			g.describe(&r)
			g.mu.Unlock()
		}
		resp.Groups = append(resp.Groups, r)
	}
	return resp
}

// Delete answers a DeleteGroups request. It returns when the deletions are
// durable.
func (m *Manager) Delete(req *kmsg.DeleteGroupsRequest) *kmsg.DeleteGroupsResponse {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, id := range req.Groups {
		r := kmsg.NewDeleteGroupsResponseGroup()
		r.Group, r.ErrorCode = id, m.delete(id, nil)
		resp.Groups = append(resp.Groups, r)
	}
	return resp
}

// delete deletes a group without members, if it may be.
func (m *Manager) delete(id string, may func(*group) bool) int16 {
	g, c := m.lock(id, false)
	if c != code.None {
		return c
	}
	if g.state != empty || may != nil && !may(g) {
		g.mu.Unlock()
		return code.NonEmptyGroup
	}
	for pending, t := range g.pending {
		t.Stop()
		delete(g.pending, pending)
	}
	g.deleting = true // joins and commits are to come again when it is known
	gone := values{}
	for tp := range g.offsets {
		gone[tp] = nil
	}
	ended := g.put(gone, Record{Key: metadataKey(id)})
	g.mu.Unlock()
	if err := <-ended; err != nil {
		g.mu.Lock()
		g.deleting = false
		g.mu.Unlock()
		return code.CoordinatorNotAvailable
	}
	m.mu.Lock()
	delete(m.groups, id)
	m.mu.Unlock()
	return code.None
}
