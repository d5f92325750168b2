package wire

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// Probe says why a node is not at an address, or nil: somebody there has a key with a certificate for its
// name, whatever else he thinks of this node. It opens nothing, and needs no [Wire].
func Probe(ctx context.Context, self *pki.Identity, node, address string) error {
	config := pki.Client(self, node, nil)
	config.NextProtos = []string{Directory.alpn()}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing was sent on it
	return tls.Client(conn, config).HandshakeContext(ctx)
}
