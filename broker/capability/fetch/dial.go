package fetch

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// dials are what one call is connecting to. The transport takes the end of a request from the context
// it connects with, so that another request can have the connection; then nothing bounds it: neither
// the call's deadline nor how many there may be. What is connected already stays for others, and a
// request that waits for a connection begins one of its own when this one fails.
type dials struct {
	call context.Context

	mu      sync.Mutex
	over    bool
	running sync.WaitGroup
}

type dialsKey struct{}

// dialing is the context of one call's requests. The call ends by end, which ends what it is connecting to still.
func dialing(ctx context.Context) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	d := &dials{call: ctx}
	return context.WithValue(ctx, dialsKey{}, d), func() {
		d.mu.Lock()
		d.over = true
		d.mu.Unlock()
		cancel()
		d.running.Wait()
	}
}

// begin says whether the call goes on; then its end ends the context, and waits for done.
func (d *dials) begin(ctx context.Context) (_ context.Context, done func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return nil, nil, false
	}
	d.running.Add(1)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	stop := context.AfterFunc(d.call, cancel)
	return ctx, func() {
		stop()
		cancel()
		d.running.Done()
	}, true
}

// bound has the transport connect by dial, in dialTimeout at most and no longer than the call lasts.
func bound(dial func(ctx context.Context, hostport string) (net.Conn, error)) func(ctx context.Context, _, hostport string) (net.Conn, error) {
	return func(ctx context.Context, _, hostport string) (net.Conn, error) {
		ctx, done, ok := ctx.Value(dialsKey{}).(*dials).begin(ctx)
		if !ok {
			return nil, context.Canceled
		}
		defer done()
		return dial(ctx, hostport)
	}
}

// dial connects to a host that is on the list, if its address may be connected to.
func (s *scope) dial(ctx context.Context, hostport string) (net.Conn, error) {
	host, port, err := splitPort(hostport)
	if err != nil {
		return nil, err
	}
	granted := s.addresses
	addr, err := netip.ParseAddr(host)
	addrs := []netip.Addr{addr}
	if err == nil {
		// The list names the address itself. It does so for itself only, and
		// not for names that resolve to it.
		granted = append(slices.Clip(granted), netip.PrefixFrom(addr, addr.BitLen()))
	} else if addrs, err = s.lookup(ctx, host); err != nil {
		return nil, err
	}
	addrs = addrs[:min(len(addrs), maxDials)]
	until, _ := ctx.Deadline()
	d := net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return judge(to.Addr(), granted)
	}}
	var failures []error
	for i, a := range addrs {
		d.Timeout = time.Until(until) / time.Duration(len(addrs)-i) // so that one that is silent leaves some
		conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, port).String())
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, worst(failures)
}

// dialTLS is dial with the handshake.
func (s *scope) dialTLS(ctx context.Context, hostport string) (net.Conn, error) {
	plain, err := s.dial(ctx, hostport)
	if err != nil {
		return nil, err
	}
	config := s.tls.Clone()
	config.ServerName, _, _ = splitPort(hostport) // which dial has read already
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, err
	}
	return conn, nil
}

// worst prefers a refusal: it is what somebody should look at.
func worst(failures []error) error {
	for _, err := range failures {
		if capability.KindOf(err) == capability.Denied {
			return err
		}
	}
	if len(failures) == 0 {
		return &net.DNSError{Err: "no addresses", IsNotFound: true}
	}
	return failures[0]
}
