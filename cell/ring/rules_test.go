package ring

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func TestEncodeRules(t *testing.T) {
	p := policy.Policy{Files: []policy.FileRule{{Path: "/a", Access: policy.Read | policy.Write}, {Path: "/a/b"}}}
	got, err := EncodeRules(p)
	if want := "\x00\x03\x02\x00/a\x00\x04\x00/a/b"; err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	p = policy.Policy{Net: []policy.NetRule{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}
	if got, err = EncodeRules(p); err != nil || string(got) != "\x01" {
		t.Errorf("%q, %v", got, err)
	}
	p.Net[0].Deny = true
	if got, err = EncodeRules(p); err != nil || string(got) != "\x00" {
		t.Errorf("what only denies gives the network: %q, %v", got, err)
	}
}

func TestRulesAreBounded(t *testing.T) {
	var p policy.Policy
	for range RulesSize/250 + 1 {
		p.Files = append(p.Files, policy.FileRule{Path: "/" + strings.Repeat("a", 249), Access: policy.Read})
	}
	if b, err := EncodeRules(p); err == nil {
		t.Errorf("%d bytes were encoded", len(b))
	}
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetRules(make([]byte, RulesSize)); err != nil {
		t.Errorf("all the room: %v", err)
	}
	if err := r.SetRules(make([]byte, RulesSize+1)); err == nil {
		t.Error("more than the room was taken")
	}
	if err := r.Free(); err != nil {
		t.Fatal(err)
	}
	if err := r.SetRules(nil); err == nil {
		t.Error("rules were set in a region that is gone")
	}
}
