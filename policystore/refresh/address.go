package refresh

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/pyisolate/pyisolate/broker/capability/fetch"
)

// limits are how far a source may lead.
type limits struct {
	// inner: to this machine and to private networks, too.
	inner bool
}

// control judges what a name has led to, before it is connected to.
func (l limits) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: address %s: %w", ErrRefused, address, err)
	}
	return l.judge(ap.Addr())
}

func (l limits) judge(a netip.Addr) error {
	switch reach := fetch.ReachOf(a); {
	case reach == fetch.Never:
		return fmt.Errorf("%w: address %s is link-local, multicast, unspecified, or one at which credentials are handed out", ErrRefused, a)
	case reach == fetch.Inner && !l.inner:
		return fmt.Errorf("%w: address %s is not on the public internet: who is bound to a tenant may not have it asked, unless the node is started with --pull-inner", ErrRefused, a)
	}
	return nil
}

// url judges a host that is an address, for a proxy may be the one that connects to it.
func (l limits) url(u *url.URL) error {
	host := strings.TrimSuffix(u.Hostname(), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return l.judge(a)
	}
	if last := host[strings.LastIndexByte(host, '.')+1:]; last != "" && (strings.Trim(last, "0123456789") == "" || strings.HasPrefix(strings.ToLower(last), "0x")) {
		return fmt.Errorf("%w: host %q is a number: write an address in its usual form", ErrRefused, host)
	}
	return nil
}
