package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/decodersring/decoder/internal/bookmark"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/source/message"
)

// batchMessages and batchBytes bound what is fetched before the log is asked.
const (
	batchMessages = 100
	batchBytes    = 16 << 20
)

// box reads one mailbox over one connection.
type box struct {
	source *Source
	name   string
	mark   *bookmark.Bookmark
	place  place
}

// place is where reading goes on: all up to the UID is in the log. Another
// UIDValidity says that the UIDs mean other messages.
type place struct {
	UIDValidity uint32   `json:"uid_validity"`
	UID         imap.UID `json:"uid"`
}

// read connects, catches up and waits for more until the connection breaks or
// ctx ends. up is called when it has caught up for the first time.
func (b *box) read(ctx context.Context, up func()) error {
	changed := make(chan struct{}, 1)
	c, err := b.source.connect(ctx, func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer c.Close()
	if err := b.source.signIn(c); err != nil {
		return err
	}
	if err := b.open(c); err != nil {
		return err
	}
	for first := true; ; first = false {
		if err := b.catchUp(ctx, c); err != nil {
			return err
		}
		if first {
			up()
		}
		if err := b.wait(ctx, c, changed); err != nil {
			return err
		}
	}
}

func (b *box) open(c *imapclient.Client) error {
	sel, err := c.Select(b.name, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return fmt.Errorf("opening mailbox: %w", err)
	}
	b.place = place{}
	if err := b.mark.Load(&b.place); err != nil {
		return err
	}
	if b.place.UIDValidity != sel.UIDValidity {
		if b.place.UIDValidity != 0 {
			b.source.logger.Info("the mailbox was made anew, reading it from its start", "mailbox", b.name)
		}
		b.place = place{UIDValidity: sel.UIDValidity}
	}
	return nil
}

// wait returns when the server says that something has changed, or it is time
// to look.
func (b *box) wait(ctx context.Context, c *imapclient.Client, changed <-chan struct{}) error {
	timer := time.NewTimer(b.source.config.Poll)
	defer timer.Stop()
	var idle *imapclient.IdleCommand
	if hasIdle(c) {
		var err error
		if idle, err = c.Idle(); err != nil {
			return fmt.Errorf("waiting for mail: %w", err)
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.Closed():
		return errors.New("the mail server closed the connection")
	case <-changed:
	case <-timer.C:
	}
	if idle != nil {
		if err := idle.Close(); err != nil {
			return fmt.Errorf("ending wait for mail: %w", err)
		}
		if err := idle.Wait(); err != nil {
			return fmt.Errorf("ending wait for mail: %w", err)
		}
	} else if err := c.Noop().Wait(); err != nil {
		return fmt.Errorf("asking for mail: %w", err)
	}
	return nil
}

// catchUp takes all messages behind the place.
func (b *box) catchUp(ctx context.Context, c *imapclient.Client) error {
	var after imap.UIDSet
	after.AddRange(b.place.UID+1, 0) // 0 is "*"
	found, err := c.UIDSearch(&imap.SearchCriteria{UID: []imap.UIDSet{after}}, nil).Wait()
	if err != nil {
		return fmt.Errorf("looking for mail: %w", err)
	}
	uids := found.AllUIDs()
	// "n:*" names the last message even when its UID is below n.
	for len(uids) > 0 && uids[0] <= b.place.UID {
		uids = uids[1:]
	}
	for len(uids) > 0 {
		n, err := b.batch(ctx, c, uids[:min(len(uids), batchMessages)])
		if err != nil {
			return err
		}
		uids = uids[n:]
	}
	return nil
}

// batch fetches, appends and moves the place. It returns how many of the UIDs
// are done with: fewer than given when they are large.
func (b *box) batch(ctx context.Context, c *imapclient.Client, uids []imap.UID) (int, error) {
	sizes, err := b.sizes(c, uids)
	if err != nil {
		return 0, err
	}
	var take imap.UIDSet
	var total int64
	n := 0
	for _, uid := range uids {
		size, there := sizes[uid]
		if n > 0 && total+size > batchBytes {
			break
		}
		n++
		switch {
		case !there: // expunged in the meantime
		case size > b.source.config.MaxSize:
			b.source.fetched.WithLabelValues("too_large").Inc()
			b.source.logger.Warn("message too large, passed over", "mailbox", b.name, "uid", uid, "bytes", size)
		default:
			take.AddNum(uid)
			total += size
		}
	}
	if len(take) > 0 {
		records, err := b.fetch(c, take)
		if err != nil {
			return 0, err
		}
		if err := b.append(ctx, records); err != nil {
			return 0, err
		}
	}
	b.place.UID = uids[n-1]
	return n, b.mark.Save(b.place)
}

// append hands messages to the log. One that the log will never take is passed
// over; anything else is tried again with the connection.
func (b *box) append(ctx context.Context, records []*bus.Record) error {
	err := b.source.log.Append(ctx, records...)
	if err == nil {
		b.source.fetched.WithLabelValues("appended").Add(float64(len(records)))
		return nil
	}
	if fault.Of(err).Class != fault.Permanent {
		return fmt.Errorf("appending mail: %w", err)
	}
	for _, r := range records {
		switch err := b.source.log.Append(ctx, r); {
		case err == nil:
			b.source.fetched.WithLabelValues("appended").Inc()
		case fault.Of(err).Class == fault.Permanent:
			b.source.fetched.WithLabelValues("refused").Inc()
			b.source.logger.Error("the log will not take a message, passed over", "mailbox", b.name, "error", err)
		default:
			return fmt.Errorf("appending mail: %w", err)
		}
	}
	return nil
}

func (b *box) sizes(c *imapclient.Client, uids []imap.UID) (map[imap.UID]int64, error) {
	msgs, err := c.Fetch(imap.UIDSetNum(uids...), &imap.FetchOptions{UID: true, RFC822Size: true}).Collect()
	if err != nil {
		return nil, fmt.Errorf("asking for sizes: %w", err)
	}
	sizes := make(map[imap.UID]int64, len(msgs))
	for _, m := range msgs {
		sizes[m.UID] = m.RFC822Size
	}
	return sizes, nil
}

// fetch reads messages without marking them.
func (b *box) fetch(c *imapclient.Client, uids imap.UIDSet) ([]*bus.Record, error) {
	cmd := c.Fetch(uids, &imap.FetchOptions{
		UID: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	})
	defer cmd.Close()
	var records []*bus.Record
	for {
		m := cmd.Next()
		if m == nil {
			break
		}
		raw, at, err := b.one(m)
		if err != nil {
			return nil, err
		}
		r, err := message.Record(raw, mail.Delivery{Time: at})
		if errors.Is(err, message.ErrEmpty) {
			b.source.fetched.WithLabelValues("empty").Inc()
			continue
		}
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	if err := cmd.Close(); err != nil {
		return nil, fmt.Errorf("fetching mail: %w", err)
	}
	return records, nil
}

// one reads a message's bytes and the time the server took it.
func (b *box) one(m *imapclient.FetchMessageData) (raw []byte, at time.Time, err error) {
	for {
		switch item := m.Next().(type) {
		case nil:
			return raw, at, nil
		case imapclient.FetchItemDataInternalDate:
			at = item.Time
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil {
				continue
			}
			if raw, err = io.ReadAll(io.LimitReader(item.Literal, b.source.config.MaxSize+1)); err != nil {
				return nil, at, fmt.Errorf("reading message: %w", err)
			}
		}
	}
}
