package policy

import (
	"net/netip"
	"testing"
	"time"
)

func TestEqualAndClone(t *testing.T) {
	whole := func() Policy {
		return Policy{Files: []FileRule{{Path: "/a", Access: Read}}, Net: []NetRule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ports: []PortRange{{1, 2}}}},
			Children: 1, Quotas: Quotas{CPUTotal: time.Second}, Contract: "bytes_sent <= 1"}
	}
	p := whole()
	clone := p.Clone()
	if !p.Equal(whole()) || !p.Equal(clone) {
		t.Error("it is not equal to its like")
	}
	p.Files[0].Access, p.Net[0].Ports[0].Last = Write, 9
	if !clone.Equal(whole()) {
		t.Errorf("the clone shares what has changed: %+v", clone)
	}
	for name, change := range map[string]func(*Policy){
		"a file":     func(p *Policy) { p.Files[0].Access = Write },
		"a glob":     func(p *Policy) { p.Files[0].Glob = "/a/*" },
		"no file":    func(p *Policy) { p.Files = nil },
		"a prefix":   func(p *Policy) { p.Net[0].Prefix = netip.MustParsePrefix("10.0.0.0/9") },
		"a port":     func(p *Policy) { p.Net[0].Ports[0].Last = 3 },
		"no port":    func(p *Policy) { p.Net[0].Ports = nil },
		"a deny":     func(p *Policy) { p.Net[0].Deny = true },
		"children":   func(p *Policy) { p.Children = 2 },
		"a quota":    func(p *Policy) { p.Quotas.Opens = 1 },
		"a contract": func(p *Policy) { p.Contract = "" },
	} {
		changed := whole()
		if change(&changed); changed.Equal(whole()) {
			t.Errorf("%s makes no difference", name)
		}
	}
}
