package server

import (
	"fmt"
	"testing"

	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/policystore"
)

// However much others hold, cells can be ended, and those without a token are apart.
func TestRooms(t *testing.T) {
	r := newRooms(1)
	fill := func(who policystore.Principal, rule rule) (n int) {
		for ; r.enter(rule, holdersOf(who, "")) != nil; n++ {
		}
		return n
	}
	inspect, kill, check := rules[api.CellServiceInspectProcedure], rules[api.CellServiceKillProcedure], rules[healthCheck]
	got := 0
	for i := range 2 * shortSlots {
		got += fill(bound(fmt.Sprint("t", i), fmt.Sprint(i)), inspect)
	}
	if got != shortSlots {
		t.Errorf("%d short calls", got)
	}
	if got := fill(bound("f", "f"), kill); got != stopSlots/4 {
		t.Errorf("%d calls that end cells, and one tenant's token has a quarter of %d", got, stopSlots)
	}
	for _, c := range []struct {
		host string
		want int
	}{{"192.0.2.1", openOfOne}, {"192.0.2.2", openOfOne}} {
		n := 0
		for ; r.enter(check, holdersOf(policystore.Principal{Name: c.host}, "")) != nil; n++ {
		}
		if n != c.want {
			t.Errorf("%s has %d calls without a token, want %d", c.host, n, c.want)
		}
	}
}

func TestHosts(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[2001:db8:1:2::7]:80": "2001:db8:1:2::/64", "[fe80::1%eth0]:80": "fe80::/64", "@": "unknown",
	} {
		if got := hostOf(addressText(address)); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}

// addressText is an address as it is written.
type addressText string

func (addressText) Network() string  { return "tcp" }
func (a addressText) String() string { return string(a) }
