package launch

import (
	"time"

	"github.com/pyisolate/pyisolate/cell/wire"
)

// Lease says until when hosts may run guests: a time of package boottime's clock. Then they end
// themselves, also when this process is stopped or dead. It is called again and again with later
// times; a host that cannot be told ends when the one before is over. Without a call, and after
// one with 0, hosts run as long as the launcher does. It does not wait for hosts.
func (l *Launcher) Lease(until time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease = until
	for h := range l.hosts {
		l.grant(h)
	}
}

// grant has a host told of the lease: of the last there is, when it reads.
func (l *Launcher) grant(h *hostproc) {
	if !h.granting.CompareAndSwap(false, true) {
		return // and whoever does it looks again
	}
	l.waiters.Go(func() {
		for {
			until := l.leaseNow()
			err := h.proc.conn.Send(leaseUntil(until))
			h.granting.Store(false)
			if err != nil || l.leaseNow() == until || !h.granting.CompareAndSwap(false, true) {
				return
			}
		}
	})
}

func leaseUntil(ns int64) *wire.Msg {
	return wire.New(0, 0, &wire.Control_Lease{Lease: &wire.Lease{UntilNs: ns}}, nil)
}

func (l *Launcher) leaseNow() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.lease)
}
