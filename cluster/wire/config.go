package wire

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// Config of a [Wire].
type Config struct {
	// Identity of this node. It may renew itself meanwhile.
	Identity *pki.Identity
	// Address to listen on, host:port.
	Address string
	// Lookup is the address, host:port, of a node. [Wire.Dial] calls it each time; it must not
	// block for long.
	Lookup func(node string) (string, error)
	// Allow tells why a node must not be let in, or not stay. It is called for each connection
	// again and again, from several goroutines, and must not block.
	Allow pki.Allow
	// Admit tells why a node that Allow lets in may not open a stream, or not keep it open; nil
	// lets it. It is called as Allow is, for connections that others have opened.
	Admit func(Stream, pki.Peer) error
	// Limits; the zero value is the default.
	Limits Limits
	// Logger hears of refusals, not more than a few a second; nil discards.
	Logger *slog.Logger
}

// Limits of a [Wire]. A field that is zero has its default.
type Limits struct {
	// Handshakes under way at once, from all addresses: 256.
	Handshakes int
	// HandshakesPerAddress is the same from one address: 64. An IPv6 address counts by its /64.
	HandshakesPerAddress int
	// HandshakeTime from the first byte to the answer, also when dialling: 5 s.
	HandshakeTime time.Duration
	// Rate of connections from one address, a second: 50, and Burst at once: 200.
	Rate  float64
	Burst int
	// PerPeer is how many connections of each stream one node may have to this one: 64.
	PerPeer int
	// Joins is how many connections there are on the stream [Join]: 16. The oldest of the address
	// that has most makes room for one more: those who hold them and do not go on, or come again and
	// again, shall not keep others out.
	Joins int
	// JoinTime is how long each of them lasts at most: 30 s.
	JoinTime time.Duration
	// Recheck is how often all connections are judged again: 15 s.
	Recheck time.Duration
}

func (l Limits) withDefaults() Limits {
	set(&l.Handshakes, 256)
	set(&l.HandshakesPerAddress, 64)
	set(&l.HandshakeTime, 5*time.Second)
	set(&l.Rate, 50)
	set(&l.Burst, 200)
	set(&l.PerPeer, 64)
	set(&l.Joins, 16)
	set(&l.JoinTime, 30*time.Second)
	set(&l.Recheck, 15*time.Second)
	return l
}

func set[T int | float64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func (c *Config) validate() error {
	switch {
	case c.Identity == nil:
		return errors.New("wire: no Identity")
	case c.Lookup == nil:
		return errors.New("wire: no Lookup")
	case c.Allow == nil:
		return errors.New("wire: no Allow; one that lets all in has to be said so")
	}
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		return fmt.Errorf("wire: listen on %q: host:port is right: %w", c.Address, err)
	}
	c.Limits = c.Limits.withDefaults()
	if c.Admit == nil {
		c.Admit = func(Stream, pki.Peer) error { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
