package wire

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses is of how many addresses the door remembers the rate.
const maxAddresses = 4096

// door decides who may begin a handshake. It is safe for concurrent use.
type door struct {
	limits Limits

	mu      sync.Mutex
	waiting list.List // of *visit, the oldest first
	from    map[netip.Prefix]int
	rates   map[netip.Prefix]*rate.Limiter
}

// visit is a handshake under way.
type visit struct {
	conn net.Conn
	from netip.Prefix
	at   *list.Element
}

func newDoor(l Limits) *door {
	return &door{limits: l, from: map[netip.Prefix]int{}, rates: map[netip.Prefix]*rate.Limiter{}}
}

// enter lets a connection begin. It is nil if its address opens too many. evicted is the one
// that has to go for it, or nil; it has left.
func (d *door) enter(c net.Conn, now time.Time) (v, evicted *visit) {
	from := source(c.RemoteAddr())
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.rate(from, now).AllowN(now, 1) {
		return nil, nil
	}
	switch {
	case d.from[from] >= d.limits.HandshakesPerAddress:
		evicted = d.oldest(func(v *visit) bool { return v.from == from })
	case d.waiting.Len() >= d.limits.Handshakes:
		evicted = d.oldest(func(*visit) bool { return true })
	}
	if evicted != nil {
		d.remove(evicted)
	}
	v = &visit{conn: c, from: from}
	v.at = d.waiting.PushBack(v)
	d.from[from]++
	return v, evicted
}

func (d *door) oldest(is func(*visit) bool) *visit {
	for e := d.waiting.Front(); e != nil; e = e.Next() {
		if v, ok := e.Value.(*visit); ok && is(v) {
			return v
		}
	}
	return nil
}

// leave is for when the handshake is over. A second time it does nothing.
func (d *door) leave(v *visit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(v)
}

func (d *door) remove(v *visit) {
	if v.at == nil {
		return
	}
	d.waiting.Remove(v.at)
	v.at = nil
	if d.from[v.from]--; d.from[v.from] == 0 {
		delete(d.from, v.from)
	}
}

func (d *door) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting.Len()
}

// rate is an address's budget. Budgets that are whole again are forgotten when there are too
// many, or if there is none, any: whoever has that many addresses has no need to use one twice.
func (d *door) rate(from netip.Prefix, now time.Time) *rate.Limiter {
	if l, ok := d.rates[from]; ok {
		return l
	}
	if len(d.rates) >= maxAddresses {
		d.forget(now)
	}
	l := rate.NewLimiter(rate.Limit(d.limits.Rate), d.limits.Burst)
	d.rates[from] = l
	return l
}

func (d *door) forget(now time.Time) {
	for from, l := range d.rates {
		if l.TokensAt(now) >= float64(d.limits.Burst) {
			delete(d.rates, from)
		}
	}
	for from := range d.rates {
		if len(d.rates) < maxAddresses {
			return
		}
		delete(d.rates, from)
	}
}

// source is what counts as one address. What is not an IP address is all the same one.
func source(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
