package members

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

const (
	// KeySize of gossip keys, in bytes.
	KeySize = 32
	// MaxMembers is how many names are believed in at a time.
	MaxMembers = 1024

	defaultRejoin = 7 * time.Second
	// streamTime is how long a connection lasts at most, and how many there are at a time.
	streamTime = 2 * time.Second
	maxStreams = 32
)

// Config of [Members].
type Config struct {
	// Name of this node, and Cluster, the id of its cluster, both as in its certificate.
	Name, Cluster string
	// Address to gossip on, by UDP and TCP: an IP address and a port.
	Address string
	// Advertise is the same as others see it. Empty means Address.
	Advertise string
	// Keys of [KeySize] bytes, at least one: the first seals, all open.
	Keys [][]byte
	// Meta of this node.
	Meta Meta
	// Seeds are addresses of others, host:port, such as those in Raft. It is called again and
	// again, by one goroutine, and must not block. This node's own may be among them.
	Seeds func() []string
	// Rejoin is how often seeds that are not seen are tried: 7 s if it is 0. A node that sees
	// nobody tries every second.
	Rejoin time.Duration
	// Logger; nil discards.
	Logger *slog.Logger

	// tune changes what gossip is told, in tests.
	tune func(*memberlist.Config, memberlist.NodeAwareTransport)
}

func (c *Config) validate() error {
	switch {
	case !pki.ValidName(c.Name):
		return fmt.Errorf("members: %.80q cannot name a node", c.Name)
	case c.Cluster == "" || len(c.Cluster) > maxWord:
		return fmt.Errorf("members: %.80q is not the id of a cluster", c.Cluster)
	case len(c.Keys) == 0:
		return errors.New("members: no key; gossip in the clear is not offered")
	case c.Seeds == nil:
		return errors.New("members: no Seeds")
	}
	for _, k := range c.Keys {
		if err := checkKey(k); err != nil {
			return err
		}
	}
	if _, _, err := hostPort(c.Address); err != nil {
		return err
	}
	if c.Rejoin <= 0 {
		c.Rejoin = defaultRejoin
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// hostPort splits an address that has to be numbers.
func hostPort(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	port, perr := strconv.ParseUint(text, 10, 16)
	if err != nil || perr != nil || net.ParseIP(host) == nil {
		return "", 0, fmt.Errorf("members: gossip at %q: an IP address and a port are right", address)
	}
	return host, int(port), nil
}

// memberlist is what gossip is told. In a small cluster a death is known in about two seconds:
// each node is probed every 0.4 s by somebody, and has 1.2 s to contradict.
func (c *Config) memberlist() (*memberlist.Config, error) {
	l := memberlist.DefaultLANConfig()
	l.Name, l.Label = c.Name, c.Cluster
	ring, err := memberlist.NewKeyring(c.Keys, c.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("members: %w", err)
	}
	l.Keyring = ring
	if l.BindAddr, l.BindPort, err = hostPort(c.Address); err != nil {
		return nil, err
	}
	l.AdvertisePort = l.BindPort
	if c.Advertise != "" {
		if l.AdvertiseAddr, l.AdvertisePort, err = hostPort(c.Advertise); err != nil {
			return nil, err
		}
	}
	l.ProbeInterval, l.ProbeTimeout = 400*time.Millisecond, 200*time.Millisecond
	l.GossipInterval = 100 * time.Millisecond // each message is said several times: a node that ends waits for that
	l.SuspicionMult, l.SuspicionMaxTimeoutMult = 3, 1
	l.TCPTimeout, l.PushPullInterval = streamTime, 15*time.Second
	l.DeadNodeReclaimTime = time.Second // a node may come back at another address
	l.EnableCompression = false         // the packets are small
	l.LogOutput = nil
	l.Logger = stdLogger(c.Logger)
	return l, nil
}
