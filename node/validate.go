package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/kernel/stack"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/webhook"
)

// A ConfigError is one thing that is wrong with a Config.
type ConfigError struct {
	Key     string // as in files and flags
	Problem string // what is wrong, with the value
	Fix     string // what to write instead
}

// Error implements error.
func (e *ConfigError) Error() string { return e.Key + ": " + e.Problem + ": " + e.Fix }

// maxSocketPath is in bytes, without the zero at the end.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// Validate says all that is wrong with the configuration, joined: each is a *ConfigError. It
// reads the files of TLS, and opens nothing else.
func (c Config) Validate() error {
	c = c.withDefaults()
	var found problems
	c.checkPlaces(&found)
	c.checkListeners(&found)
	c.checkTLS(&found)
	if _, err := stack.ParseMode(string(c.Mode)); err != nil {
		found.add("mode", fmt.Sprintf("%q is not known", c.Mode), "write hardened, dev or compatibility")
	}
	if _, err := transport.ParseMode(string(c.BrokerIO)); err != nil {
		found.add("broker-io", fmt.Sprintf("%q is not known", c.BrokerIO), "write auto, uring or socket")
	}
	if _, err := c.proxy(); err != nil {
		found.add("pull-proxy", fmt.Sprintf("%q is no proxy's address", redacted(c.PullProxy)), "write http://HOST:PORT, or https or socks5h")
	}
	if err := c.traces(hostName()).Validate(); err != nil {
		found.add("trace-endpoint", fmt.Sprintf("traces to %q: %v", redacted(c.TraceEndpoint), err), "write http://HOST:4318, and a trace-ratio of at most 1")
	}
	if err := (webhook.Config{Hooks: c.Webhooks}).Validate(); err != nil {
		found.add("webhooks", err.Error(), "mend the file that it names")
	}
	if err := telemetry.CheckGuestTags(c.MetricTags); err != nil {
		found.add("metric-tags", strings.ReplaceAll(err.Error(), "\n", "; "), fmt.Sprintf("write %d names at most that differ in letters, digits or _", telemetry.MaxGuestTags))
	}
	c.checkCheckpoints(&found)
	if c.DrainTimeout > MaxDrainTimeout {
		found.add("drain-timeout", c.DrainTimeout.String()+" is too long", "write 0s to "+MaxDrainTimeout.String())
	}
	c.checkCluster(&found)
	return errors.Join(found...)
}

type problems []error

func (p *problems) add(key, problem, fix string) {
	*p = append(*p, &ConfigError{Key: key, Problem: problem, Fix: fix})
}

func (c Config) checkPlaces(found *problems) {
	if c.Data == "" {
		found.add("data", "this user has no place for state", "write a directory")
	}
	switch {
	case c.Socket == "":
		found.add("socket", "there is no $XDG_RUNTIME_DIR", "say where the socket is to be, or "+NoSocket)
	case len(c.Socket) > maxSocketPath:
		found.add("socket", fmt.Sprintf("%s has %d bytes", c.Socket, len(c.Socket)), fmt.Sprintf("a socket's path has %d at most", maxSocketPath))
	}
	if c.SocketMode&^0o777 != 0 || c.SocketMode&0o600 != 0o600 {
		found.add("socket-mode", fmt.Sprintf("%#o is no permission for a socket", uint32(c.SocketMode)), "write octal digits such as 0600, 0660 or 0666")
	}
	if c.Secrets == "" || strings.HasPrefix(c.Secrets, "env:") {
		return
	}
	if _, err := os.Stat(c.Secrets); err != nil {
		found.add("secrets", err.Error(), "write a directory of files, a JSON file, or env:NAME,NAME")
	}
}

func (c Config) checkListeners(found *problems) {
	if c.Socket == NoSocket && len(c.Listen) == 0 && len(c.Inherited) == 0 {
		found.add("listen", "the node would listen nowhere", "give it a socket or an address")
	}
	for _, text := range c.Listen {
		c.checkAddress(text, found)
	}
	for _, l := range c.Inherited {
		tcp, isTCP := l.Addr().(*net.TCPAddr)
		if isTCP && c.TLSCert == "" && (!tcp.IP.IsLoopback() || !c.PlainLoopback) {
			found.add("listen", fmt.Sprintf("the socket at %s that was handed over needs a certificate", tcp), "give tls-cert and tls-key, or for loopback plain-loopback")
		}
	}
}

func (c Config) checkAddress(text string, found *problems) {
	at, err := parseAddress(text)
	switch {
	case err != nil:
		found.add("listen", fmt.Sprintf("%q: %v", text, err), "write unix:///PATH, https://HOST:PORT or http://127.0.0.1:PORT")
	case at.scheme == "https" && c.TLSCert == "" && c.TLSKey == "":
		found.add("listen", text+" needs a certificate", "give tls-cert and tls-key")
	case at.scheme == "http" && !at.loopback():
		found.add("listen", text+" would send tokens over a network that others can read", "write https://, or a loopback address")
	case at.scheme == "http" && !c.PlainLoopback:
		found.add("listen", text+" is not encrypted", "write https://, or permit it with plain-loopback")
	}
}

func (c Config) checkTLS(found *problems) {
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
		return
	case c.TLSCert == "":
		found.add("tls-cert", "it is missing, and tls-key is there", "give the certificate's file, too")
		return
	case c.TLSKey == "":
		found.add("tls-key", "it is missing, and tls-cert is there", "give the key's file, too")
		return
	}
	if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
		found.add("tls-cert", fmt.Sprintf("%s and %s: %v", c.TLSCert, c.TLSKey, err), "give a certificate and its key, in PEM form")
	}
	if info, err := os.Stat(c.TLSKey); err == nil && info.Mode()&0o007 != 0 {
		found.add("tls-key", c.TLSKey+" is readable to every user", "chmod 0600 "+c.TLSKey)
	}
}

// proxy is nil where there is none.
func (c Config) proxy() (*url.URL, error) {
	if c.PullProxy == "" {
		return nil, nil
	}
	u, err := url.Parse(c.PullProxy)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5h" {
		return nil, errors.New("not http://HOST:PORT")
	}
	return u, nil
}

// redacted is a URL without its password. What has no // before its host may have one anywhere.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" && strings.Contains(text, "@") {
		return "(unreadable)"
	}
	return u.Redacted()
}

// address is where to listen.
type address struct {
	scheme string // unix, https or http
	place  string // a path, or HOST:PORT
}

func (a address) String() string { return a.scheme + "://" + a.place }

// loopback says whether nobody but this machine can connect.
func (a address) loopback() bool {
	host, _, err := net.SplitHostPort(a.place)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func parseAddress(text string) (address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return address{}, errors.New("it says no scheme")
	}
	switch scheme {
	case "unix":
		if !strings.HasPrefix(rest, "/") || len(rest) > maxSocketPath {
			return address{}, fmt.Errorf("a socket's path is absolute and has %d bytes at most", maxSocketPath)
		}
		return address{scheme, rest}, nil
	case "https", "http":
		rest = strings.TrimSuffix(rest, "/")
		if _, port, err := net.SplitHostPort(rest); err != nil || port == "" {
			return address{}, errors.New("it has no port, or no host")
		}
		return address{scheme, rest}, nil
	}
	return address{}, fmt.Errorf("the scheme %s is not known", scheme)
}
