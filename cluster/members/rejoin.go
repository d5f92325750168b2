package members

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// alonePause is between attempts while nobody else is seen.
const alonePause = time.Second

// rejoin goes to the seeds until ctx ends.
func (m *Members) rejoin(ctx context.Context, every time.Duration) {
	for {
		m.visit(ctx)
		pause := every*3/4 + rand.N(every/2) //nolint:gosec // G404: it only keeps nodes from calling in step
		if len(m.view.list()) < 2 {
			pause = min(pause, alonePause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// visit joins at the seeds that are not seen.
func (m *Members) visit(ctx context.Context) {
	for _, seed := range m.seeds() {
		addresses, err := resolve(ctx, seed)
		if err != nil {
			m.log.Info("a seed cannot be looked up", "seed", seed, "error", err)
		}
		for _, a := range addresses {
			if ctx.Err() != nil {
				return
			}
			if m.sees(a) {
				continue
			}
			if _, err := m.list.Join([]string{a}); err != nil {
				m.log.Debug("a seed does not answer", "seed", seed, "error", err)
			}
		}
	}
}

func (m *Members) sees(address string) bool {
	for _, n := range m.view.list() {
		if n.Address == address {
			return true
		}
	}
	return false
}

// resolve is an address in numbers; memberlist would ask name servers in its own way.
func resolve(ctx context.Context, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%q: host:port is right", address)
	}
	if ip := net.ParseIP(host); ip != nil {
		return []string{net.JoinHostPort(ip.String(), port)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, streamTime)
	defer cancel()
	hosts, err := net.DefaultResolver.LookupHost(ctx, host)
	for i, h := range hosts {
		hosts[i] = net.JoinHostPort(h, port)
	}
	return hosts, err
}
