package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Sealing is a checkpoint on its way into an [Archive]. It is for one goroutine.
type Sealing struct {
	*Writer
	draft *counted
	tee   *tee // nil: there is no mirror
	ended bool
	err   error // how it ended
	over  bool  // it was kept or discarded
}

// counted is a draft whose bytes are a tenant's from the first on.
type counted struct {
	*Draft
	of     *Archive
	tenant string
	bytes  int64
	key    string // it is of no use without; "": that is not known yet, or is this node's own
	err    error  // why it may have no more
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.err = c.of.take(c.tenant, int64(len(b))); c.err != nil {
		return 0, c.err
	}
	c.bytes += int64(len(b))
	return c.Draft.Write(b)
}

// needs has a key stay until the file is here, or is given up.
func (c *counted) needs(key string) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.key = key
	c.of.coming[key]++
}

// came is called with of.mu held, when there is a file, or will be none.
func (c *counted) came() {
	if c.of.coming[c.key]--; c.of.coming[c.key] <= 0 {
		delete(c.of.coming, c.key)
	}
}

// take counts bytes of a tenant's, if it may have them.
func (a *Archive) take(tenant string, n int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if have := a.of[tenant].bytes; a.bounds.TenantBytes > 0 && have+n > a.bounds.TenantBytes {
		return fmt.Errorf("%w: tenant %s has %d bytes of %d: remove some, or allow more", ErrFull, tenant, have, a.bounds.TenantBytes)
	}
	a.count(tenant, n, 0)
	return nil
}

// Seal begins a checkpoint: terms say how its cell was spawned, and the state is what is written to
// it until Keep or Discard. It is sealed by the ring, or to a recipient if there is one.
func (a *Archive) Seal(h Header, terms []byte, to *Recipient) (*Sealing, error) {
	keys := Keys(a.ring)
	if to != nil {
		keys = to
	}
	return a.seal(h, terms, keys, nil)
}

// SealMirrored is Seal by the ring, and sends the file while it is written; what is not said to be otherwise
// is compressed by S2, for a cell waits for it. A mirror that fails has no
// more of it, and the archive's file is kept all the same: Mirrored says how far it came, [Archive.OpenAt]
// has the rest.
func (a *Archive) SealMirrored(h Header, terms []byte, m Mirror) (*Sealing, error) {
	if h.Compression == "" {
		h.Compression = S2
	}
	return a.seal(h, terms, a.ring, m)
}

func (a *Archive) seal(h Header, terms []byte, k Keys, m Mirror) (*Sealing, error) {
	if len(terms) > MaxTerms {
		return nil, fmt.Errorf("%w: how the cell was spawned takes %d bytes; %d is the most", ErrTooLarge, len(terms), MaxTerms)
	}
	d, err := a.draft(h.Tenant)
	if err != nil {
		return nil, err
	}
	h.Terms, h.Created = len(terms), a.after(h)
	s := &Sealing{draft: d}
	to := io.Writer(d)
	if m != nil {
		s.tee = &tee{file: d}
		to = s.tee
	}
	if s.Writer, err = NewWriter(to, h, k); err != nil {
		return nil, errors.Join(err, d.discard())
	}
	if m != nil {
		s.tee.begin(m, s.Header())
	}
	if _, err = s.Write(terms); err != nil {
		return nil, errors.Join(err, s.Discard())
	}
	return s, nil
}

// after is when a checkpoint is made: after those of its cell that are here, also where a node whose clock is ahead
// made them. So the newest by their headers is the newest.
func (a *Archive) after(h Header) time.Time {
	all := a.List(h.Tenant, h.Cell)
	if len(all) == 0 || h.Created.After(all[0].Header.Created) {
		return h.Created
	}
	return all[0].Header.Created.Add(time.Nanosecond)
}

// Mirrored tells how many bytes of the file the mirror took, and why it has no more; nil: it has all that
// was written so far.
func (s *Sealing) Mirrored() (int64, error) {
	if s.tee == nil {
		return 0, errors.New("there is no mirror")
	}
	return s.tee.sent, s.tee.err
}

// draft begins a file of a tenant that may have another.
func (a *Archive) draft(tenant string) (*counted, error) {
	a.reap()
	if err := a.prune(a.List(tenant, "")); err != nil {
		return nil, err
	}
	a.mu.Lock()
	have := a.of[tenant].count
	full := a.bounds.TenantCount > 0 && have >= a.bounds.TenantCount
	if !full {
		a.count(tenant, 0, 1)
	}
	a.mu.Unlock()
	if full {
		return nil, fmt.Errorf("%w: tenant %s has %d checkpoints, which is the most: remove some, or allow more", ErrFull, tenant, have)
	}
	c := &counted{of: a, tenant: tenant}
	var err error
	if c.Draft, err = a.store.Create(); err != nil {
		c.giveBack()
		return nil, err
	}
	return c, nil
}

// Room is how many bytes the archive's file system has free for a checkpoint of a tenant, when that one's that are old,
// or too many, are removed, which they are. Known false: the file system does not say.
func (a *Archive) Room(tenant string) (free int64, known bool, err error) {
	a.reap()
	if err := a.prune(a.List(tenant, "")); err != nil {
		return 0, false, err
	}
	return a.store.free()
}

// giveBack takes back what was counted for a file that is none.
func (c *counted) giveBack() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.count(c.tenant, -c.bytes, -1)
	c.came()
}

// End writes what is left: the mirror then has all of the file, and can be told so while Keep waits for
// the disk. Nothing can be written after it. Keep does it otherwise.
func (s *Sealing) End() error {
	if !s.ended {
		s.ended, s.err = true, s.Close()
	}
	return s.err
}

// Keep puts the checkpoint on the disk. When it fails nothing is left of it.
func (s *Sealing) Keep() (Info, error) {
	if s.over {
		return Info{}, errOver
	}
	if err := s.End(); err != nil {
		return Info{}, errors.Join(err, s.Discard())
	}
	s.over = true
	return s.draft.keep()
}

// errOver: a sealing was kept or discarded before.
var errOver = errors.New("checkpoint: it was kept or discarded already")

// Discard gives it up. What the mirror has of it has no end, unless End was called.
func (s *Sealing) Discard() error {
	if s.over {
		return errOver
	}
	s.over = true
	if !s.ended {
		s.ended, s.err = true, errOver
		s.giveUp()
	}
	return s.draft.discard()
}

func (c *counted) discard() error {
	c.giveBack()
	return c.Discard()
}

func (c *counted) keep() (Info, error) {
	done, err := c.of.arrive(c.id())
	if err != nil {
		return Info{}, errors.Join(err, c.discard())
	}
	i, err := c.Keep()
	if err != nil {
		done()
		c.giveBack()
		return Info{}, err
	}
	c.of.mu.Lock()
	if before, same := c.of.all[i.ID]; same { // what was here may have been damaged
		c.of.count(before.Header.Tenant, -before.Size, -1)
	}
	c.of.all[i.ID] = i
	c.came()
	c.of.mu.Unlock()
	_ = c.of.prune(c.of.List(i.Header.Tenant, i.Header.Cell)) // but this one; the next draft tells what cannot be removed
	done()
	return i, nil
}
