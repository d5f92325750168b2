package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// Config of a Cluster. Dir is needed.
type Config struct {
	// Dir is DATA/cluster, as Found or Join made it.
	Dir string
	// Listen is the address of the port between nodes, HOST:PORT. Default: the advertised one if
	// its host is an IP address, and else its port on all addresses.
	Listen string
	// Advertise is that port as others reach it. Default: as Found or Join were told. Another
	// than then is made known to the others.
	Advertise string
	// Gossip is where to gossip, by UDP and TCP, HOST:PORT, and GossipAdvertise the same as
	// others see it. Default: the port after Listen, and after Advertise.
	Gossip, GossipAdvertise string
	// Seeds are where to look for the others, too, who may not be where they were last: where they gossip,
	// HOST:PORT each. One is enough.
	Seeds []string
	// Meta is what the node says of itself; the cluster sets its Wire. It is called every second
	// and by Members and Status, by several goroutines at once, and must not block for long.
	// Default: nothing.
	Meta func() members.Meta
	// Tenant runs cells on this node, under a lease. Its methods may be called before Open
	// returns. Default: there is none, and the node has no session.
	Tenant group.Tenant
	// Changed is given the records that changed; see group.Config. It must not block.
	Changed func([]directory.Record)
	// TTL of this node's leases, and Timeout of elections, in the directory and the policies; that
	// should be the same on all nodes. Defaults: see group.Config.
	TTL, Timeout time.Duration
	// Limits of the port between nodes.
	Limits wire.Limits
	// Logger; default: nobody is told.
	Logger *slog.Logger
}

// withDefaults fills in what follows from what the node was told when it became a member.
func (c Config) withDefaults(n note) (Config, error) {
	c.Advertise = cmp.Or(c.Advertise, n.Address)
	if err := pki.ValidAddress(c.Advertise); err != nil {
		return c, fmt.Errorf("advertise: %w", err)
	}
	if c.Listen == "" {
		host, port, err := net.SplitHostPort(c.Advertise)
		if err != nil {
			return c, err
		}
		if _, err := netip.ParseAddr(host); err != nil {
			host = ""
		}
		c.Listen = net.JoinHostPort(host, port)
	}
	if c.GossipAdvertise == "" && c.Advertise == n.Address {
		c.GossipAdvertise = n.Gossip
	}
	var err error
	if c.Gossip == "" {
		if c.Gossip, err = after(c.Listen); err != nil {
			return c, err
		}
	}
	if c.GossipAdvertise == "" {
		if c.GossipAdvertise, err = after(c.Advertise); err != nil {
			return c, err
		}
	}
	if c.Meta == nil {
		c.Meta = func() members.Meta { return members.Meta{} }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// after is the port after the one of an address.
func after(address string) (string, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || port == 1<<16-1 {
		return "", fmt.Errorf("%s has no port after it to gossip on: choose another, or name one for gossip", address)
	}
	return net.JoinHostPort(host, strconv.FormatUint(port+1, 10)), nil
}

// numeric is an address as gossip wants it: with an IP address. What is no address of one machine
// stands for all of this one.
func numeric(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if host == "" {
		return net.JoinHostPort("0.0.0.0", port), nil
	}
	a, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", address, err)
	}
	return a.String(), nil
}

// Why something is not done. Other errors are those of package group, roster, pki and enroll.
var (
	// ErrMember: the directory is a member's already, or there was one.
	ErrMember = errors.New("this node belongs to a cluster already")
	// ErrNoMember: the directory is not of a node that belongs to a cluster.
	ErrNoMember = errors.New("this node belongs to no cluster")
	// ErrQuorum: those who would be left could not agree on anything.
	ErrQuorum = errors.New("too few voters would be left that answer")
	// ErrBehind: a node did not do in time what others must wait for.
	ErrBehind = errors.New("a node has not done it yet")
	// ErrClosed: the cluster is closed.
	ErrClosed = errors.New("the node's part in the cluster has ended")
)
