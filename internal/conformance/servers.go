package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// servers are two on this machine that greet whoever connects, by their ports.
type servers [2]uint16

const greeting = "canary"

func withServers(f func(servers) (string, error)) (evidence string, err error) {
	var v servers
	var serving sync.WaitGroup
	defer serving.Wait()
	for i := range v {
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			return "", err
		}
		defer func() { _ = l.Close() }()
		serving.Go(func() { greet(l) })
		v[i] = l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	return f(v)
}

// greet serves until the listener is closed.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = c.Write([]byte(greeting)) // who has gone hears nothing
			_ = c.Close()
		}
	}
}

// toPorts lets a cell connect and send to ports of this machine.
func toPorts(ports ...uint16) *policy.Policy {
	rule := policy.NetRule{Prefix: netip.PrefixFrom(loopback, 32)}
	for _, p := range ports {
		rule.Ports = append(rule.Ports, policy.PortRange{First: p, Last: p})
	}
	return &policy.Policy{Net: []policy.NetRule{rule}}
}

func (v servers) policy(i int) *policy.Policy { return toPorts(v[i]) }

// reads connects to both; the guest's gate judges no addresses.
func (v servers) reads(ctx context.Context, guest cell.Cell, i int) error {
	for j, port := range v {
		want := "null"
		if j == i {
			want = fmt.Sprintf("%q", greeting)
		}
		if err := expectConnect(ctx, guest, port, want); err != nil {
			return fmt.Errorf("with a policy for server %d, of server %d: %w", i, j, err)
		}
	}
	return nil
}

// expectConnect fails unless connecting gives the JSON: a server's greeting, or null where the
// kernel refuses it.
func expectConnect(ctx context.Context, guest cell.Cell, port uint16, want string) error {
	err := guest.Exec(ctx, source(fmt.Sprintf(`
import socket
try:
    with socket.create_connection(("127.0.0.1", %d), 5) as s: said = s.recv(99).decode()
except PermissionError: said = None
post(said)
`, port)))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return expect(ctx, guest, want)
}

// asserted are servers that the rules give both, and the contract one.
type asserted struct{ servers }

func (a asserted) policy(i int) *policy.Policy {
	p := toPorts(a.servers[:]...)
	p.Contract = fmt.Sprintf("connect.port == %d", a.servers[i])
	return p
}
