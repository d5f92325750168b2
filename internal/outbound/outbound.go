// Package outbound judges addresses that the node is to connect to because somebody else has
// named them: where policies are pulled from, where alerts are posted to. What a name has led to
// is judged before it is connected to, so that nobody can change his mind in between.
//
// It has no state and no goroutines.
package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/pyisolate/pyisolate/broker/capability/fetch"
)

// ErrRefused is every refusal; what it says is the refusal's.
var ErrRefused = errors.New("address refused")

type refusal string

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

func (r refusal) Error() string        { return string(r) }
func (r refusal) Is(target error) bool { return target == ErrRefused }

// Limits are how far it may lead. The zero Limits are the public internet.
type Limits struct {
	// Inner: to this machine and to private networks, too.
	Inner bool
	// Hint says, with a refusal of those, who may have them.
	Hint string
}

// Control is for net.Dialer.Control.
func (l Limits) Control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuse("address %s: %v", address, err)
	}
	return l.Judge(ap.Addr())
}

// Judge refuses an address, or returns nil.
func (l Limits) Judge(a netip.Addr) error {
	switch reach := fetch.ReachOf(a); {
	case reach == fetch.Never:
		return refuse("address %s is link-local, multicast, unspecified, or one at which credentials are handed out", a)
	case reach == fetch.Inner && !l.Inner:
		return refuse("address %s is not on the public internet%s", a, l.Hint)
	}
	return nil
}

// URL judges a host that is an address, for a proxy may be the one that connects to it.
func (l Limits) URL(u *url.URL) error {
	host := strings.TrimSuffix(u.Hostname(), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return l.Judge(a)
	}
	if last := host[strings.LastIndexByte(host, '.')+1:]; last != "" && (strings.Trim(last, "0123456789") == "" || strings.HasPrefix(strings.ToLower(last), "0x")) {
		return refuse("host %q is a number: write an address in its usual form", host)
	}
	return nil
}
