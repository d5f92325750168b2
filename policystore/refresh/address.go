package refresh

import (
	"fmt"
	"net/url"
	"syscall"

	"github.com/pyisolate/pyisolate/internal/outbound"
)

// limits are how far a source may lead.
type limits struct {
	// inner: to this machine and to private networks, too.
	inner bool
}

func (l limits) outbound() outbound.Limits {
	return outbound.Limits{Inner: l.inner, Hint: ": who is bound to a tenant may not have it asked, unless the node is started with --pull-inner"}
}

// control judges what a name has led to, before it is connected to.
func (l limits) control(network, address string, c syscall.RawConn) error {
	return refused(l.outbound().Control(network, address, c))
}

// url judges a host that is an address, for a proxy may be the one that connects to it.
func (l limits) url(u *url.URL) error { return refused(l.outbound().URL(u)) }

func refused(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}
