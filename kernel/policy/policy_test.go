package policy

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func file(path string, a Access) Policy { return Policy{Files: []FileRule{{Path: path, Access: a}}} }

func network(prefix string, ports ...PortRange) Policy {
	return Policy{Net: []NetRule{{Prefix: netip.MustParsePrefix(prefix), Ports: ports}}}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		err    string
	}{
		"nothing":               {Policy{}, ""},
		"the root":              {file("/", Read), ""},
		"a directory":           {file("/usr/lib", Read|Execute), ""},
		"names with dots":       {file("/a/..b/...", Read), ""},
		"nothing permitted":     {file("/a", 0), ""},
		"relative":              {file("usr", Read), "not absolute"},
		"empty":                 {file("", Read), "not absolute"},
		"slash at the end":      {file("/usr/", Read), "ends in a slash"},
		"two slashes":           {file("/usr//lib", Read), "not clean"},
		"a dot":                 {file("/usr/./lib", Read), "not clean"},
		"up":                    {file("/usr/..", Read), "not clean"},
		"a zero byte":           {file("/a\x00b", Read), "zero byte"},
		"too long":              {file("/"+strings.Repeat("a", MaxPath), Read), "254 are allowed"},
		"unknown access":        {file("/a", 8), "not known"},
		"one path twice":        {Policy{Files: []FileRule{{Path: "/a", Access: Read}, {Path: "/a", Access: Write}}}, "two rules"},
		"a network":             {network("10.0.0.0/8", PortRange{443, 443}), ""},
		"IPv6":                  {network("fd00::/8"), ""},
		"everything":            {network("0.0.0.0/0"), ""},
		"no prefix":             {Policy{Net: []NetRule{{}}}, "no prefix"},
		"bits beyond":           {network("10.1.0.0/8"), "10.0.0.0/8 is meant"},
		"IPv4 in IPv6":          {network("::ffff:10.0.0.0/104"), "write it as IPv4"},
		"ports backwards":       {network("10.0.0.0/8", PortRange{2, 1}), "ports 2 to 1"},
		"too many ports":        {network("10.0.0.0/8", make([]PortRange, 9)...), "8 are allowed"},
		"some ports denied":     {Policy{Net: []NetRule{{netip.MustParsePrefix("10.0.0.0/8"), []PortRange{{1, 2}}, true}}}, "denied for some ports"},
		"one prefix twice":      {Policy{Net: append(network("10.0.0.0/8").Net, network("10.0.0.0/8").Net...)}, "two rules"},
		"negative children":     {Policy{Children: -1}, "-1 children"},
		"half a processor":      {Policy{Quotas: Quotas{CPU: 50 * time.Millisecond}}, ""},
		"too little processor":  {Policy{Quotas: Quotas{CPU: time.Microsecond}}, "1ms at least"},
		"a period of nothing":   {Policy{Quotas: Quotas{CPUPeriod: time.Millisecond}}, "without a quota"},
		"too long a period":     {Policy{Quotas: Quotas{CPU: time.Second, CPUPeriod: time.Minute}}, "1ms to 1s"},
		"negative memory":       {Policy{Quotas: Quotas{Memory: -1}}, "negative"},
		"totals":                {Policy{Quotas: Quotas{CPUTotal: time.Second, Sent: 1, Received: 1, Connects: 1, Opens: 1}}, ""},
		"too little in total":   {Policy{Quotas: Quotas{CPUTotal: time.Microsecond}}, "1ms at least"},
		"negative total":        {Policy{Quotas: Quotas{CPUTotal: -1}}, "negative"},
		"negative sent":         {Policy{Quotas: Quotas{Sent: -1}}, "negative"},
		"negative received":     {Policy{Quotas: Quotas{Received: -1}}, "negative"},
		"negative connects":     {Policy{Quotas: Quotas{Connects: -1}}, "negative"},
		"negative opens":        {Policy{Quotas: Quotas{Opens: -1}}, "negative"},
		"a period with a quota": {Policy{Quotas: Quotas{CPU: time.Second, CPUPeriod: 10 * time.Millisecond}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.policy.Validate()
			if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v, want %q", err, c.err)
			}
			if err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
		})
	}
}

func TestWhatAPolicyLets(t *testing.T) {
	for name, c := range map[string]struct {
		policy                       Policy
		writes, executes, connecting bool
	}{
		"nothing": {Policy{}, false, false, false},
		"reads":   {file("/", Read), false, false, false},
		"writes":  {file("/tmp", Read|Write), true, false, false},
		"runs":    {file("/bin", Execute), false, true, false},
		"network": {network("10.0.0.0/8"), false, false, true},
		"denied":  {Policy{Net: []NetRule{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Deny: true}}}, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.policy
			if p.Writes() != c.writes || p.Executes() != c.executes || p.Connects() != c.connecting {
				t.Errorf("writes %v, executes %v, connects %v", p.Writes(), p.Executes(), p.Connects())
			}
		})
	}
	if got := (Read | Execute).String(); got != "r-x" {
		t.Errorf("Access: %s", got)
	}
}

func TestJSON(t *testing.T) {
	p := Policy{Files: []FileRule{{Path: "/a", Access: Read}}, Net: network("10.0.0.0/8", PortRange{1, 2}).Net, Children: 3, Quotas: Quotas{CPU: time.Second}}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q Policy
	if err := json.Unmarshal(data, &q); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, q, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}
