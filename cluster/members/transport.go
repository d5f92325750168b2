package members

import (
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"
)

// bounded is a transport that takes only so many connections at a time.
type bounded struct {
	memberlist.NodeAwareTransport
	streams chan net.Conn
	slots   chan struct{}
	done    chan struct{}
	work    sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*bounded)(nil)

// open binds both ports. If the port is 0, it sets the one that was found.
func open(c *memberlist.Config) (*memberlist.NetTransport, error) {
	var err error
	for range 10 { // the same port has to be free for UDP and TCP
		var t *memberlist.NetTransport
		t, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{c.BindAddr}, BindPort: c.BindPort, Logger: c.Logger,
		})
		if err == nil {
			if c.BindPort == 0 {
				c.BindPort = t.GetAutoBindPort()
			}
			if c.AdvertisePort == 0 {
				c.AdvertisePort = c.BindPort
			}
			return t, nil
		}
		if c.BindPort != 0 || !strings.Contains(err.Error(), "in use") {
			break
		}
	}
	return nil, fmt.Errorf("members: gossip on %s, port %d: %w", c.BindAddr, c.BindPort, err)
}

func bound(t memberlist.NodeAwareTransport) *bounded {
	b := &bounded{
		NodeAwareTransport: t, streams: make(chan net.Conn),
		slots: make(chan struct{}, maxStreams), done: make(chan struct{}),
	}
	b.work.Go(b.forward)
	return b
}

// StreamCh implements memberlist.Transport.
func (b *bounded) StreamCh() <-chan net.Conn { return b.streams }

// Shutdown implements memberlist.Transport. memberlist calls it once.
func (b *bounded) Shutdown() error {
	err := b.NodeAwareTransport.Shutdown() // it may be handing over a connection
	close(b.done)
	b.work.Wait()
	return err
}

// forward passes connections on, as many as there are slots, and closes the others.
func (b *bounded) forward() {
	for {
		select {
		case c := <-b.NodeAwareTransport.StreamCh():
			b.pass(c)
		case <-b.done:
			return
		}
	}
}

func (b *bounded) pass(c net.Conn) {
	select {
	case b.slots <- struct{}{}:
	default:
		_ = c.Close()
		return
	}
	s := &stream{Conn: c, leave: sync.OnceFunc(func() { <-b.slots })}
	select {
	case b.streams <- s:
	case <-b.done:
		_ = s.Close()
	}
}

// stream gives its slot back when it is closed.
type stream struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.leave()
	return s.Conn.Close()
}
