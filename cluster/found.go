package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/enroll"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
)

// Founding is what a cluster begins with. All fields but Cluster and Gossip are needed.
type Founding struct {
	// Dir is where the node will keep what it needs as a member: DATA/cluster. There must be
	// nothing, or what a node left that is no member any more.
	Dir string
	// Cluster is a name for people, of 1 to 63 bytes. Default: "pyisolate".
	Cluster string
	// Node names the first node: ^[a-z0-9-]{1,63}$.
	Node string
	// Address of its port between nodes as others reach it, HOST:PORT.
	Address string
	// Gossip is where others reach its gossip, by UDP and TCP. Default: the port after Address.
	Gossip string
}

const (
	// certificateLife is of the certificates that nodes get.
	certificateLife = pki.DefaultLife
	// foundTimeout is of the election that a node holds with itself.
	foundTimeout = 20 * time.Millisecond
)

// Found makes a cluster of one node: its authority, the node's identity, the first key of gossip.
// The node must not run. Dir is there whole when it returns, or as it was.
func Found(ctx context.Context, f Founding) error {
	if err := f.found(ctx); err != nil {
		return fmt.Errorf("found a cluster in %s: %w", f.Dir, err)
	}
	return nil
}

func (f Founding) found(ctx context.Context) error {
	if err := free(f.Dir); err != nil {
		return err
	}
	if err := checkAddresses(f.Address, f.Gossip); err != nil {
		return err
	}
	authority, err := pki.Create(cmp.Or(f.Cluster, "pyisolate"))
	if err != nil {
		return err
	}
	request, err := pki.NewRequest(f.Node)
	if err != nil {
		return err
	}
	cert, err := authority.Sign(request.DER(), f.Node, certificateLife)
	if err != nil {
		return err
	}
	identity, err := request.Accept(cert, authority.Certificate())
	if err != nil {
		return err
	}
	return prepare(f.Dir, func(dir string) error {
		known, err := f.enrol(ctx, dir, identity)
		return errors.Join(err,
			authority.Save(filepath.Join(dir, authorityFile)),
			saveMember(dir, identity, known, note{filesVersion, f.Address, f.Gossip, true}))
	})
}

// saveMember writes what every member has. The note comes last.
func saveMember(dir string, identity *pki.Identity, k known, n note) error {
	if k.roster == nil {
		return errors.New("there is no roster")
	}
	if err := identity.Save(filepath.Join(dir, identityFile)); err != nil {
		return err
	}
	if err := writeRoster(dir, k); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, noteFile), n)
}

// enrol puts the first entries on the log of a group that has no other node.
func (f Founding) enrol(ctx context.Context, dir string, identity *pki.Identity) (known, error) {
	address, transport := raft.NewInmemTransport(raft.ServerAddress(f.Node))
	g, err := group.Open(group.Config{
		Dir: filepath.Join(dir, groupDir), Node: f.Node, Transport: transport, Peers: nobody{}, Timeout: foundTimeout,
		Bootstrap: []raft.Server{{ID: raft.ServerID(f.Node), Address: address}},
	})
	if err != nil {
		return known{}, err
	}
	secret := make([]byte, members.KeySize)
	_, _ = rand.Read(secret) // it never fails
	key := identity.Key()
	_, err = g.Enrol(ctx, roster.Command{
		Op: roster.Found, Name: f.Node, Address: f.Address, Gossip: f.Gossip, Key: key[:], Until: identity.NotAfter(),
	})
	if err == nil {
		_, err = g.Enrol(ctx, roster.Command{Op: roster.AddKey, Key: secret})
	}
	k := known{g.Roster(), g.Applied()}
	return k, errors.Join(err, g.Close())
}

// nobody is the Peers of a node that has none.
type nobody struct{}

// Ask implements group.Peers.
func (nobody) Ask(context.Context, string, []byte) ([]byte, error) { return nil, group.ErrNoLeader }

func checkAddresses(address, gossip string) error {
	if err := Advertisable(address); err != nil {
		return err
	}
	if gossip == "" {
		_, err := after(address)
		return err
	}
	return Advertisable(gossip)
}

// Advertisable tells why an address is none at which other nodes reach one.
func Advertisable(address string) error {
	if err := pki.ValidAddress(address); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsUnspecified() {
		return fmt.Errorf("%.80q is where a node listens at all of its addresses; name the one that others reach it at", address)
	}
	return nil
}

// Joining is how a node becomes one of a cluster. All fields but Gossip are needed.
type Joining struct {
	// Dir, Node, Address and Gossip are as in Founding.
	Dir, Node, Address, Gossip string
	// Token that `cluster invite` printed.
	Token string
}

// Join makes this node one of the token's cluster. The node must not run. When it returns without
// an error the others wait for the node, and Dir is whole. A token is used once, by one key: when
// the answer of the cluster was lost, or this machine stopped in between, another Join with the same Dir and
// token goes on, for the key is kept beside Dir until then. The errors are those of package enroll and
// pki.
func Join(ctx context.Context, j Joining) error {
	if err := j.join(ctx); err != nil {
		return fmt.Errorf("join a cluster: %w", err)
	}
	return nil
}

func (j Joining) join(ctx context.Context) error {
	if err := free(j.Dir); err != nil {
		return err
	}
	if err := checkAddresses(j.Address, j.Gossip); err != nil {
		return err
	}
	token, err := pki.ParseToken(j.Token)
	if err != nil {
		return err
	}
	if _, err := numeric(cmp.Or(j.Gossip, j.Address)); err != nil { // the token would be used, and the node not start
		return fmt.Errorf("the address of this node, as it sees it: %w", err)
	}
	request, err := j.request(token)
	if err != nil {
		return err
	}
	err = prepare(j.Dir, func(dir string) error {
		identity, admission, err := enroll.Join(ctx, token, request, j.Address, j.Gossip)
		if err != nil {
			return err
		}
		k, err := decodeRoster(admission.Roster)
		if err != nil {
			return fmt.Errorf("the roster that the cluster sent: %w", err)
		}
		return saveMember(dir, identity, k, note{filesVersion, j.Address, j.Gossip, false})
	})
	if err == nil || refused(err) {
		err = errors.Join(err, os.Remove(j.pending(token)))
	}
	return err
}

// pending is the file of the key with which a token is, or may have been, used.
func (j Joining) pending(token pki.Token) string { return j.Dir + ".joining-" + token.ID() }

// request has the key of an earlier attempt with the token, or one that is on the disk before the
// cluster sees it.
func (j Joining) request(token pki.Token) (*pki.Request, error) {
	path := j.pending(token)
	r, err := pki.LoadRequest(path, j.Node)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if r, err = pki.NewRequest(j.Node); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return r, r.Save(path)
}

// refused tells whether the cluster has answered, and would answer the same again.
func refused(err error) bool {
	for _, reason := range refusals {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
