package fetch_test

import (
	"net/netip"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability/fetch"
)

func TestReachOf(t *testing.T) {
	for text, want := range map[string]fetch.Reach{
		"169.254.169.254": fetch.Never, "169.254.1.1": fetch.Never, "::ffff:169.254.1.1": fetch.Never, "fe80::1%lo": fetch.Never, "fe80::1": fetch.Never,
		"64:ff9b::a9fe:a9fe": fetch.Never, "64:ff9b:1::a9fe:a9fe": fetch.Never, "2002:a9fe:a9fe::1": fetch.Never,
		"fd00:ec2::254": fetch.Never, "168.63.129.16": fetch.Never, "100.100.100.200": fetch.Never,
		"0.0.0.0": fetch.Never, "::": fetch.Never, "224.0.0.1": fetch.Never, "255.255.255.255": fetch.Never, "ff02::1": fetch.Never,
		"127.0.0.1": fetch.Inner, "::1": fetch.Inner, "10.0.0.1": fetch.Inner, "192.168.1.1": fetch.Inner, "172.16.0.1": fetch.Inner,
		"100.64.0.1": fetch.Inner, "fd00::1": fetch.Inner, "fec0::1": fetch.Inner, "64:ff9b::a00:1": fetch.Inner, "::ffff:127.0.0.1": fetch.Inner,
		"1.1.1.1": fetch.Public, "2606:4700:4700::1111": fetch.Public, "64:ff9b::101:101": fetch.Public,
	} {
		if got := fetch.ReachOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
	if got := fetch.ReachOf(netip.Addr{}); got != fetch.Never {
		t.Errorf("no address: %d", got)
	}
}
