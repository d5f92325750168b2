package node

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keysOf are the keys that an error of Validate names.
func keysOf(t *testing.T, err error) (keys []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	all, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T is not joined", err)
	}
	for _, one := range all.Unwrap() {
		var wrong *ConfigError
		if !errors.As(one, &wrong) {
			t.Fatalf("%v is no ConfigError", one)
		}
		if wrong.Problem == "" || wrong.Fix == "" {
			t.Errorf("%s: it says %q, and to do %q", wrong.Key, wrong.Problem, wrong.Fix)
		}
		keys = append(keys, wrong.Key)
	}
	return keys
}

func TestValidate(t *testing.T) {
	cert, key := writeCertificate(t, "localhost")
	open := filepath.Join(t.TempDir(), "open.key")
	data, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"nothing", func(*Config) {}, ""},
		{"everything wrong is said at once", func(c *Config) {
			c.Mode, c.BrokerIO, c.PullProxy, c.SocketMode, c.DrainTimeout = "harden", "ring", "ftp://x", 0o1777, time.Hour
		}, "socket-mode mode broker-io pull-proxy drain-timeout"},
		{"a socket's path that is too long", func(c *Config) { c.Socket = "/" + strings.Repeat("a", 107) }, "socket"},
		{"the longest", func(c *Config) { c.Socket = "/" + strings.Repeat("a", 106) }, ""},
		{"nowhere to listen", func(c *Config) { c.Socket = NoSocket }, "listen"},
		{"no scheme", func(c *Config) { c.Listen = []string{"localhost:1"} }, "listen"},
		{"another scheme", func(c *Config) { c.Listen = []string{"ftp://localhost:1"} }, "listen"},
		{"no port", func(c *Config) { c.Listen = []string{"https://localhost"} }, "listen"},
		{"a relative socket", func(c *Config) { c.Listen = []string{"unix://s"} }, "listen"},
		{"https without a certificate", func(c *Config) { c.Listen = []string{"https://:1"} }, "listen"},
		{"https", func(c *Config) { c.Listen, c.TLSCert, c.TLSKey = []string{"https://:1"}, cert, key }, ""},
		{"plain, not permitted", func(c *Config) { c.Listen = []string{"http://127.0.0.1:1"} }, "listen"},
		{"plain", func(c *Config) {
			c.Listen, c.PlainLoopback = []string{"http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"}, true
		}, ""},
		{"plain for all to read", func(c *Config) { c.Listen, c.PlainLoopback = []string{"http://0.0.0.0:1"}, true }, "listen"},
		{"plain at every address", func(c *Config) { c.Listen, c.PlainLoopback = []string{"http://:1"}, true }, "listen"},
		{"half of a certificate", func(c *Config) { c.TLSCert = cert }, "tls-key"},
		{"the other half", func(c *Config) { c.TLSKey = key }, "tls-cert"},
		{"no such certificate", func(c *Config) { c.TLSCert, c.TLSKey = "/none", key }, "tls-cert"},
		{"a key that all can read", func(c *Config) { c.TLSCert, c.TLSKey = cert, open }, "tls-key"},
		{"no such secrets", func(c *Config) { c.Secrets = "/none" }, "secrets"},
		{"secrets of the environment", func(c *Config) { c.Secrets = "env:A,B" }, ""},
		{"no drain", func(c *Config) { c.DrainTimeout = -1 }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Config{Data: t.TempDir(), Socket: "/run/s"}
			c.change(&config)
			err := config.Validate()
			if got := strings.Join(keysOf(t, err), " "); got != c.want {
				t.Errorf("wrong are %q, want %q\n%v", got, c.want, err)
			}
		})
	}
}

// A socket that was handed over listens already, and needs what one of ours would.
func TestValidateInherited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	config := Config{Data: t.TempDir(), Inherited: []net.Listener{l}}
	if got := keysOf(t, config.Validate()); len(got) != 1 || got[0] != "listen" {
		t.Errorf("without a certificate: %q", got)
	}
	config.PlainLoopback = true
	if err := config.Validate(); err != nil {
		t.Errorf("on loopback: %v", err)
	}
	if got := config.Resolved().Socket; got != NoSocket {
		t.Errorf("beside what was handed over it listens on %s", got)
	}
}

func TestProxyPasswordIsNotShown(t *testing.T) {
	err := Config{Data: t.TempDir(), Socket: "/run/s", PullProxy: "ftp://user:hunter2@host:1"}.Validate()
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"unix:///run/s", "https://[::1]:7443", "http://127.0.0.1:80/", "://", "https://:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parseAddress(text)
		if err != nil {
			return
		}
		again, err := parseAddress(at.String())
		if err != nil || again != at {
			t.Errorf("%q is %+v, and that is %+v, %v", text, at, again, err)
		}
	})
}
