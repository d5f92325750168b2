package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// MaxName is the length of the longest name of a node: one label of the domain name system.
const MaxName = 63

const (
	scheme    = "pyisolate"
	clusterID = 16 // bytes
)

// Node is who a certificate says its holder is.
type Node struct {
	// Cluster is the cluster's id, 32 hexadecimal digits.
	Cluster string
	// Name of the node within it.
	Name string
}

// Peer is a node that showed a valid certificate.
type Peer struct {
	Node
	// Serial of the certificate.
	Serial *big.Int
	// NotAfter is when it expires.
	NotAfter time.Time
	// Key is the hash of its public key, as [KeyOf] tells it of the request.
	Key [sha256.Size]byte
}

// String is the URI.
func (n Node) String() string { return scheme + "://" + n.Cluster + "/node/" + n.Name }

func (n Node) uri() *url.URL {
	return &url.URL{Scheme: scheme, Host: n.Cluster, Path: "/node/" + n.Name}
}

// host is the name that TLS knows the node by. It is in the certificate beside the URI, for the
// standard library to check.
func (n Node) host() string { return n.Name + "." + n.Cluster + "." + scheme }

// ValidName reports whether name can be a node's: ^[a-z0-9-]{1,63}$.
func ValidName(name string) bool {
	if name == "" || len(name) > MaxName {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func checkName(name string) error {
	if !ValidName(name) {
		return fmt.Errorf("%.80q cannot name a node: take 1 to %d of a-z, 0-9 and -", name, MaxName)
	}
	return nil
}

func validCluster(id string) bool {
	raw, err := hex.DecodeString(id)
	return err == nil && len(raw) == clusterID && strings.ToLower(id) == id
}

func newCluster() string {
	var id [clusterID]byte
	_, _ = rand.Read(id[:]) // it never fails: the runtime ends the process first
	return hex.EncodeToString(id[:])
}

// ParseNode reads what [Node.String] wrote, to the letter: there is one spelling of each.
func ParseNode(uri string) (Node, error) {
	rest, ok := strings.CutPrefix(uri, scheme+"://")
	cluster, name, found := strings.Cut(rest, "/node/")
	if !ok || !found || !validCluster(cluster) || !ValidName(name) {
		return Node{}, fmt.Errorf("%w: %.200q is not %s://CLUSTER-ID/node/NAME", ErrNoIdentity, uri, scheme)
	}
	return Node{cluster, name}, nil
}

// PeerOf is who a certificate says its holder is. It does not verify the certificate.
func PeerOf(c *x509.Certificate) (Peer, error) {
	if len(c.URIs) != 1 {
		return Peer{}, fmt.Errorf("%w: %s has %d URIs, one is right", ErrNoIdentity, describe(c), len(c.URIs))
	}
	n, err := ParseNode(c.URIs[0].String())
	if err != nil {
		return Peer{}, err
	}
	return Peer{n, c.SerialNumber, c.NotAfter, sha256.Sum256(c.RawSubjectPublicKeyInfo)}, nil
}

// clusterOf is the id of the cluster that a certificate is the authority of.
func clusterOf(ca *x509.Certificate) (string, error) {
	if ca.IsCA && len(ca.URIs) == 1 {
		id, ok := strings.CutPrefix(ca.URIs[0].String(), scheme+"://")
		if ok && validCluster(id) {
			return id, nil
		}
	}
	return "", fmt.Errorf("%w: %s is not of a cluster's authority", ErrCluster, describe(ca))
}

func describe(c *x509.Certificate) string {
	return fmt.Sprintf("certificate %x (%.80q)", c.SerialNumber, c.Subject.CommonName)
}
