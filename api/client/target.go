package client

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// target is where a node is.
type target struct {
	base      string // of calls' addresses
	socket    string // the path of a unix socket; "": the base says where
	encrypted bool
}

// String is the target for people.
func (t target) String() string {
	if t.socket != "" {
		return t.socket
	}
	return t.base
}

// target is what the configuration names.
func (c Config) target() (target, error) {
	named := 0
	for _, way := range []string{c.Address, c.Socket, c.URL} {
		if way != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return target{}, errors.New("client: name an address, a socket or a URL, one of them")
	case c.Socket != "":
		return socketTarget(c.Socket), nil
	case c.URL != "":
		return urlTarget(c.URL, false)
	}
	if path, is := strings.CutPrefix(c.Address, "unix://"); is {
		if !filepath.IsAbs(path) {
			return target{}, fmt.Errorf("client: %q: write unix:// and an absolute path", c.Address)
		}
		return socketTarget(path), nil
	}
	return urlTarget(c.Address, true)
}

func socketTarget(path string) target {
	return target{base: "http://node", socket: path} // the host is of no meaning
}

// urlTarget is https, for tokens are secrets, or, where that is permitted, a loopback address.
func urlTarget(text string, plain bool) (target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return target{}, fmt.Errorf("client: the address is not unix:///PATH or https://HOST[:PORT]")
	}
	base := strings.TrimSuffix(text, "/")
	switch {
	case u.Scheme == "https":
		return target{base: base, encrypted: true}, nil
	case u.Scheme == "http" && plain && loopback(u.Hostname()):
		return target{base: base}, nil
	case u.Scheme == "http" && plain:
		return target{}, fmt.Errorf("client: %s would send tokens over a network that others can read: write https://HOST[:PORT]", u.Redacted())
	}
	return target{}, fmt.Errorf("client: %q is neither unix:///PATH nor https://HOST[:PORT]", u.Redacted())
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// CheckAddress says what is wrong with a Config.Address.
func CheckAddress(address string) error {
	_, err := Config{Address: address}.target()
	return err
}
