package fetch

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// pattern is one entry of a grant's hosts.
type pattern struct {
	text   string
	scheme string     // "" is both
	host   string     // of a wildcard, what follows the "*"
	wild   bool       // one or more labels before host
	addr   netip.Addr // when host is an address; then it is granted, too
	port   uint16     // 0 is the scheme's own
}

// target is where one request of HTTP goes.
type target struct {
	scheme, host string
	addr         netip.Addr // when host is one
	port         uint16
}

func (t target) String() string { return t.scheme + "://" + describe(t.host, t.port) }

// parsePattern reads [SCHEME://]HOST[:PORT]. HOST is a name, an address (IPv6 in
// brackets) or "*." and a name of two labels or more.
func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	rest := text
	if scheme, after, ok := strings.Cut(text, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return p, badPattern(text, "the scheme must be http or https")
		}
		p.scheme, rest = scheme, after
	}
	host, port, err := splitPort(rest)
	if err != nil {
		return p, badPattern(text, err.Error())
	}
	p.port = port
	if after, ok := strings.CutPrefix(host, "*."); ok {
		if !strings.Contains(strings.Trim(after, "."), ".") {
			return p, badPattern(text, "a wildcard needs a name of two labels or more after it")
		}
		p.wild, host = true, after
	}
	name, addr, err := canonical(host)
	if err != nil {
		return p, badPattern(text, err.Error())
	}
	if p.wild && addr.IsValid() {
		return p, badPattern(text, "an address has no wildcard")
	}
	p.host, p.addr = name, addr
	return p, nil
}

func badPattern(text, why string) error {
	return capability.Errorf(capability.Invalid, "host %q: %s; write [https://]NAME[:PORT] or *.NAME[:PORT]", text, why)
}

// splitPort splits HOST[:PORT]; brackets around an IPv6 address are removed.
func splitPort(s string) (host string, port uint16, err error) {
	portText, has := "", false
	if rest, ok := strings.CutPrefix(s, "["); ok {
		var after string
		if host, after, ok = strings.Cut(rest, "]"); !ok || !strings.Contains(host, ":") {
			return "", 0, errText("brackets are for an IPv6 address")
		}
		if after != "" {
			if portText, has = strings.CutPrefix(after, ":"); !has {
				return "", 0, errText("only a port can follow the address")
			}
		}
	} else {
		host, portText, has = strings.Cut(s, ":")
	}
	if !has {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || n == 0 || portText[0] == '0' || portText[0] == '+' {
		return "", 0, errText("the port must be a number from 1 to 65535")
	}
	return host, uint16(n), nil
}

type errText string

func (e errText) Error() string { return string(e) }

// canonical returns a host in the one form that is compared: an address, or a name
// in lower case without a final dot. Names have only what DNS has: letters, digits,
// '-' and '_' in labels of up to 63.
func canonical(host string) (string, netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return "", netip.Addr{}, errText("an address with a zone is not reachable from here")
		}
		a = a.Unmap()
		return a.String(), a, nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "" || len(name) > 253 {
		return "", netip.Addr{}, errText("a host name has 1 to 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return "", netip.Addr{}, errText("a host name has labels of letters, digits, '-' and '_' (others in their xn-- form)")
		}
	}
	// "127.1" and "0x7f000001" are addresses to some resolvers and names to others.
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "", netip.Addr{}, errText("it ends in a number but is not an address as it should be written")
	}
	return name, netip.Addr{}, nil
}

// matches tells whether p allows t.
func (p pattern) matches(t target) bool {
	port := p.port
	if port == 0 {
		port = defaultPort(t.scheme)
	}
	switch {
	case p.scheme != "" && p.scheme != t.scheme, port != t.port:
		return false
	case p.wild:
		return !t.addr.IsValid() && strings.HasSuffix(t.host, "."+p.host)
	}
	return p.host == t.host
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// maxURL in bytes.
const maxURL = 8192

// parseTarget reads the URL of a request or redirect.
func parseTarget(u *url.URL) (target, error) {
	invalid := func(why string) (target, error) {
		return target{}, capability.Errorf(capability.Invalid, "the URL is not one we fetch: %s", why)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return invalid("the scheme must be http or https")
	}
	if u.User != nil {
		return invalid("put credentials into a header, not into the URL")
	}
	if u.Opaque != "" || u.Host == "" {
		return invalid("it has no host")
	}
	host, port, err := splitPort(u.Host)
	if err != nil {
		return invalid(err.Error())
	}
	name, addr, err := canonical(host)
	if err != nil {
		return invalid(err.Error())
	}
	if port == 0 {
		port = defaultPort(u.Scheme)
	}
	return target{scheme: u.Scheme, host: name, addr: addr, port: port}, nil
}

// parseURL reads what the guest wrote.
func parseURL(text string) (*url.URL, target, error) {
	if len(text) > maxURL {
		return nil, target{}, capability.Errorf(capability.Invalid, "the URL has %d bytes; %d is the most", len(text), maxURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		// Not the error's own text: it repeats the URL, whose query may be secret.
		return nil, target{}, capability.Errorf(capability.Invalid, "the URL cannot be parsed")
	}
	t, err := parseTarget(u)
	if err != nil {
		return nil, target{}, err
	}
	u.Fragment, u.RawFragment = "", ""
	u.Host = t.authority()
	return u, t, nil
}

// authority is the canonical host and port for the connection and the Host header.
func (t target) authority() string {
	host := t.host
	if t.addr.Is6() {
		host = "[" + host + "]"
	}
	if t.port == defaultPort(t.scheme) {
		return host
	}
	return host + ":" + strconv.Itoa(int(t.port))
}
