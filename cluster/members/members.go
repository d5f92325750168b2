package members

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// ErrClosed: the members are closed.
var ErrClosed = errors.New("members are closed")

// sayTime is how long an announcement may take if the context does not say.
const sayTime = 5 * time.Second

// Members is a node's view of the cluster, and its own part in it.
type Members struct {
	list  *memberlist.Memberlist
	ring  *memberlist.Keyring
	view  *view
	own   *own
	seeds func() []string
	log   *slog.Logger
	lines *log.Logger // memberlist's

	telling sync.Mutex // held while the others are told of this node: what is said last is what they hear last
	leaving bool       // nothing more is said

	stop context.CancelFunc
	work sync.WaitGroup
	mu   sync.RWMutex // held to read while memberlist is used, which must not be after Close
	done bool
}

// own is what this node says of itself, for memberlist to ask. It broadcasts nothing else.
type own struct{ meta atomic.Pointer[[]byte] }

var _ memberlist.Delegate = (*own)(nil)

// NodeMeta implements memberlist.Delegate.
func (o *own) NodeMeta(int) []byte { return *o.meta.Load() }

// NotifyMsg implements memberlist.Delegate.
func (o *own) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (o *own) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (o *own) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (o *own) MergeRemoteState([]byte, bool) {}

// Start takes part. It does not wait for the others: seeds that do not answer are tried again.
// It goes on until [Members.Close], whatever becomes of ctx.
func Start(_ context.Context, c Config) (*Members, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	meta, err := c.Meta.Encode()
	if err != nil {
		return nil, err
	}
	l, err := c.memberlist()
	if err != nil {
		return nil, err
	}
	m := &Members{ring: l.Keyring, view: newView(c.Logger), own: &own{}, seeds: c.Seeds, log: c.Logger, lines: l.Logger}
	m.own.meta.Store(&meta)
	l.Delegate, l.Events, l.Alive, l.Conflict = m.own, m.view, m.view, m.view
	port, err := open(l)
	if err != nil {
		return nil, err
	}
	b := bound(port)
	l.Transport = b
	if c.tune != nil {
		c.tune(l, b)
	}
	if m.list, err = memberlist.Create(l); err != nil {
		return nil, errors.Join(fmt.Errorf("members: start gossip: %w", err), b.Shutdown())
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.work.Go(func() { m.rejoin(ctx, c.Rejoin) })
	return m, nil
}

// Addr it gossips at, as others see it.
func (m *Members) Addr() string { return addressOf(m.list.LocalNode()) }

// List is who is there, this node too, by name.
func (m *Members) List() []Member { return m.view.list() }

// Watch begins with who is there, as [Joined], and goes on with what changes, until ctx ends. The
// channel is closed then, or when the reader is 256 events behind: begin again.
func (m *Members) Watch(ctx context.Context) <-chan Event { return m.view.watch(ctx) }

// SetMeta says something new of this node. It returns when the others begin to hear of it, or
// with an error when that takes too long; they will hear of it nevertheless. After Leave it says nothing.
func (m *Members) SetMeta(ctx context.Context, meta Meta) error {
	b, err := meta.Encode()
	if err != nil {
		return err
	}
	return m.using(func() error {
		m.telling.Lock()
		defer m.telling.Unlock()
		if m.leaving {
			return nil
		}
		return m.say(ctx, b)
	})
}

// say is called with telling held.
func (m *Members) say(ctx context.Context, meta []byte) error {
	m.own.meta.Store(&meta)
	return m.list.UpdateNode(patience(ctx))
}

// Leave tells the others that this node goes, so that they do not report it as failed, and comes
// back no more. Close has to follow, also after an error, which says that not all have heard.
func (m *Members) Leave(ctx context.Context) error {
	m.stop()
	m.work.Wait()
	return m.using(func() error {
		m.telling.Lock()
		defer m.telling.Unlock()
		m.leaving = true
		meta, err := DecodeMeta(*m.own.meta.Load())
		meta.Leaving = true
		b, eerr := meta.Encode()
		if err := errors.Join(err, eerr); err != nil {
			return err
		}
		return errors.Join(m.say(ctx, b), m.list.Leave(patience(ctx)))
	})
}

// using calls memberlist, unless it is closed: it does not expect to be called then.
func (m *Members) using(f func() error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.done {
		return ErrClosed
	}
	if err := f(); err != nil {
		return fmt.Errorf("members: %w", err)
	}
	return nil
}

func patience(ctx context.Context) time.Duration {
	if until, ok := ctx.Deadline(); ok {
		return max(time.Until(until), time.Millisecond)
	}
	return sayTime
}

// Close ends it without a word, as if the node had died. It can take as long as an attempt to
// join, two seconds for a connection. A second time it does nothing.
func (m *Members) Close() error {
	m.stop()
	m.work.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done {
		return nil
	}
	m.done = true
	err := m.list.Shutdown()
	m.view.close()
	m.lines.SetOutput(io.Discard) // probes that are under way end later, and have nothing to say
	return err
}
