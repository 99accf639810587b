package groups

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// memoryLog is a log whose appends are durable at once, or when hold is let
// go, or never.
type memoryLog struct {
	mu      sync.Mutex
	records []Record
	hold    chan struct{} // nil: durable at once
	lost    bool          // what was held is not durable
	broken  bool
}

var errDisk = errors.New("the disk fails")

func (l *memoryLog) Append(records []Record) (int64, func(context.Context) error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return 0, nil, errDisk
	}
	at := int64(len(l.records))
	l.records = append(l.records, records...)
	hold := l.hold
	return at, func(ctx context.Context) error {
		if hold == nil {
			return nil
		}
		select {
		case <-hold:
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.lost {
				return errDisk
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

func (l *memoryLog) Each(fn func(key, value []byte)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		fn(r.Key, r.Value)
	}
	return nil
}

func (l *memoryLog) set(change func(*memoryLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// held has what is appended wait until it is let go, or is lost.
func (l *memoryLog) held() (letGo, lose func()) {
	hold := make(chan struct{})
	var from int
	l.set(func(l *memoryLog) { l.hold, l.lost, from = hold, false, len(l.records) })
	letGo = func() { l.set(func(l *memoryLog) { l.hold = nil }); close(hold) }
	return letGo, func() {
		l.set(func(l *memoryLog) { l.lost, l.records = true, l.records[:from] })
		letGo()
	}
}

const (
	session   = 10 * time.Second
	rebalance = 30 * time.Second
	delay     = 200 * time.Millisecond
)

// fixture is a manager under test, in a bubble of synctest: its timers run on
// a clock that jumps when everybody waits.
type fixture struct {
	*Manager
	t   *testing.T
	log *memoryLog
}

func begin(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	return reopen(t, &memoryLog{}, change...)
}

// reopen reads the log with a new manager.
func reopen(t *testing.T, log *memoryLog, change ...func(*Config)) *fixture {
	t.Helper()
	cfg := Config{InitialDelay: delay}
	for _, c := range change {
		c(&cfg)
	}
	f := &fixture{Manager: New(cfg, log), t: t, log: log}
	if err := f.Load(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close) // no timer outlives the bubble
	return f
}

// joining is a join request of the group "g" with the range protocol, which
// asks for no member id first.
func joining(id string, change ...func(*kmsg.JoinGroupRequest)) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.ProtocolType = 3, "g", id, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = int32(session.Milliseconds()), int32(rebalance.Milliseconds())
	r.Protocols = protocols("range")
	for _, c := range change {
		c(r)
	}
	return r
}

func protocols(names ...string) (out []kmsg.JoinGroupRequestProtocol) {
	for _, n := range names {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = n, []byte("wants "+n)
		out = append(out, p)
	}
	return out
}

func knowing(names ...string) func(*kmsg.JoinGroupRequest) {
	return func(r *kmsg.JoinGroupRequest) { r.Protocols = protocols(names...) }
}

func static(instance string) func(*kmsg.JoinGroupRequest) {
	return func(r *kmsg.JoinGroupRequest) { r.Version, r.InstanceID = 9, &instance }
}

// join begins a join; the answer is taken from the channel.
func (f *fixture) join(r *kmsg.JoinGroupRequest) <-chan *kmsg.JoinGroupResponse {
	out := make(chan *kmsg.JoinGroupResponse, 1)
	wait := f.Join(r, Client{ID: "client", Host: "/host"})
	go func() { out <- wait(context.Background()) }()
	return out
}

func syncing(id string, generation int32, given map[string]string) *kmsg.SyncGroupRequest {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Group, r.MemberID, r.Generation = "g", id, generation
	for member, what := range given {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = member, []byte(what)
		r.GroupAssignment = append(r.GroupAssignment, a)
	}
	return r
}

func (f *fixture) sync(r *kmsg.SyncGroupRequest) <-chan *kmsg.SyncGroupResponse {
	out := make(chan *kmsg.SyncGroupResponse, 1)
	wait := f.Sync(r)
	go func() { out <- wait(context.Background()) }()
	return out
}

func (f *fixture) beat(id string, generation int32, instance ...string) int16 {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.MemberID, r.Generation = "g", id, generation
	if len(instance) > 0 {
		r.InstanceID = &instance[0]
	}
	return f.Heartbeat(r).ErrorCode
}

// leave leaves by ids, or as an administrator does, by "instance:NAME".
func (f *fixture) leave(id, instance string) int16 {
	f.t.Helper()
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = 5, "g"
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = id
	if instance != "" {
		m.InstanceID = &instance
	}
	r.Members = append(r.Members, m)
	resp := f.Leave(r)
	if resp.ErrorCode != code.None {
		return resp.ErrorCode
	}
	return resp.Members[0].ErrorCode
}

func committing(id string, generation int32, at int64) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.Generation = "g", id, generation
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = "t"
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = at
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

func (f *fixture) commit(r *kmsg.OffsetCommitRequest) int16 {
	return f.Commit(r)(context.Background()).Topics[0].Partitions[0].ErrorCode
}

// committed is the offset of partition 0 of "t"; -1: none.
func (f *fixture) committed() int64 {
	f.t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Group = "g"
	for _, t := range f.Fetch(r).Topics {
		return t.Partitions[0].Offset
	}
	return -1
}

// state tells the group's state and how many members it has.
func (f *fixture) state() string {
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Groups = []string{"g"}
	g := f.Describe(r).Groups[0]
	return fmt.Sprintf("%s %d", g.State, len(g.Members))
}

func (f *fixture) wantState(want string) {
	f.t.Helper()
	if got := f.state(); got != want {
		f.t.Errorf("the group is %s, not %s", got, want)
	}
}

func wantCode(t *testing.T, what string, got, want int16) {
	t.Helper()
	if got != want {
		t.Errorf("%s: error code %d, want %d", what, got, want)
	}
}

// settled has n members, whose requests are changed alike, join and be
// assigned; the leader comes first.
func (f *fixture) settled(n int, change ...func(*kmsg.JoinGroupRequest)) (ids []string, generation int32) {
	f.t.Helper()
	var answers []<-chan *kmsg.JoinGroupResponse
	for range n {
		answers = append(answers, f.join(joining("", change...)))
	}
	return f.assign(answers...)
}

// assign takes the members that join through the rest of the round.
func (f *fixture) assign(answers ...<-chan *kmsg.JoinGroupResponse) (ids []string, generation int32) {
	f.t.Helper()
	given := map[string]string{}
	for _, a := range answers {
		r := <-a
		wantCode(f.t, "joining", r.ErrorCode, code.None)
		generation = r.Generation
		given[r.MemberID] = "part of " + r.MemberID
		if r.MemberID == r.LeaderID {
			ids = append([]string{r.MemberID}, ids...)
		} else {
			ids = append(ids, r.MemberID)
		}
	}
	var parts []<-chan *kmsg.SyncGroupResponse
	for i, id := range ids {
		if i == 0 {
			parts = append(parts, f.sync(syncing(id, generation, given)))
		} else {
			parts = append(parts, f.sync(syncing(id, generation, nil)))
		}
	}
	for i, p := range parts {
		r := <-p
		wantCode(f.t, "syncing", r.ErrorCode, code.None)
		if string(r.MemberAssignment) != given[ids[i]] {
			f.t.Errorf("%s was given %q", ids[i], r.MemberAssignment)
		}
	}
	return ids, generation
}
