package node

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is at the socket's place and is no socket stays there.
func TestListenRemovesOnlySockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, 0o600); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if _, err := listenUnix("/tmp/"+strings.Repeat("a", 200), 0o600); err == nil {
		t.Error("a path that is too long is taken")
	}
}

func TestListenPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "s")
	l, err := listenUnix(path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
}

// One client cannot keep others out, and an address of IPv6 is as good as all of its network.
func TestConnectionsAreBounded(t *testing.T) {
	l := newBounded(nil)
	a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i := range maxConnectionsEach {
		if !l.admit(a) {
			t.Fatalf("connection %d is refused", i)
		}
	}
	if l.admit(a) {
		t.Error("one address has more than its part")
	}
	if !l.admit(b) {
		t.Error("another address is refused")
	}
	l.release(a)
	if !l.admit(a) {
		t.Error("what is given back is not to be had")
	}
	for _, c := range []struct{ address, want string }{
		{"192.0.2.1:5", "192.0.2.1/32"}, {"[::ffff:192.0.2.1]:5", "192.0.2.1/32"}, {"[2001:db8::1:2:3:4]:5", "2001:db8::/64"}, {"[fe80::1%lo]:5", "fe80::/64"},
	} {
		a, err := net.ResolveTCPAddr("tcp", c.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := origin(a).String(); got != c.want {
			t.Errorf("%s counts for %s, want %s", c.address, got, c.want)
		}
	}
}

func TestBoundedGivesBack(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newBounded(plain)
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if l.all != 1 {
		t.Errorf("%d connections are counted", l.all)
	}
	_, _ = server.Close(), server.Close() // twice, as http does
	if l.all != 0 || len(l.from) != 0 {
		t.Errorf("%d connections are left, of %d", l.all, len(l.from))
	}
}
