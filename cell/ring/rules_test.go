package ring

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func TestEncodeRules(t *testing.T) {
	p := policy.Policy{Files: []policy.FileRule{{Path: "/a", Access: policy.Read | policy.Write}, {Path: "/a/b"}, {Path: "/c", Glob: "/c/*", Access: policy.Read}}}
	got, err := EncodeRules(p, []string{"os.path", "*", "re"})
	want := "\x02\x00\x00\x00" + "\x0b\x00\x00\x00" + "os.path\x00re\x00" +
		"\x03\x00\x02\x00\x00\x00/a" + "\x00\x00\x04\x00\x00\x00/a/b" + "\x01\x00\x02\x00\x04\x00/c/c/*"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	p = policy.Policy{Net: []policy.NetRule{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}
	if got, err = EncodeRules(p, nil); err != nil || string(got) != "\x01\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%q, %v", got, err)
	}
	p.Net[0].Deny = true
	if got, err = EncodeRules(p, nil); err != nil || string(got) != strings.Repeat("\x00", 8) {
		t.Errorf("what only denies gives the network: %q, %v", got, err)
	}
}

func TestRulesAreBounded(t *testing.T) {
	var p policy.Policy
	for range RulesSize/250 + 1 {
		p.Files = append(p.Files, policy.FileRule{Path: "/" + strings.Repeat("a", 249), Access: policy.Read})
	}
	if b, err := EncodeRules(p, nil); err == nil {
		t.Errorf("%d bytes were encoded", len(b))
	}
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetRules(Limits{}, make([]byte, MaxRules)); err != nil {
		t.Errorf("all the room: %v", err)
	}
	if err := r.SetRules(Limits{}, make([]byte, MaxRules+1)); err == nil {
		t.Error("more than the room was taken")
	}
	if err := r.Free(); err != nil {
		t.Fatal(err)
	}
	if err := r.SetRules(Limits{}, nil); err == nil {
		t.Error("rules were set in a region that is gone")
	}
}

// The word says where the rules are, and the ones before stay whole until the next.
func TestRulesArePublishedByOneWord(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Free() }()
	var rooms [2]string
	for i, rules := range []string{"12345678first", "12345678second", ""} {
		if err := r.SetRules(Limits{Memory: int64(i), MessageBytes: 2, Children: 3, Files: 4}, []byte(rules)); err != nil {
			t.Fatal(err)
		}
		word := r.long(offRules).Load()
		if word != uint64(i+1) {
			t.Errorf("the word is %d", word)
		}
		if rules == "" {
			rules = strings.Repeat("\x00", 8)
		}
		rooms[word&1] = string(rune(24+len(rules))) + "\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00" + string(rune(i)) + strings.Repeat("\x00", 7) + rules
		for j, want := range rooms {
			if got := string(r.rules[j][:len(want)]); got != want {
				t.Errorf("after %d, room %d has %q; want %q", i, j, got, want)
			}
		}
	}
}

// BenchmarkRules encodes a policy of a thousand rules and publishes it.
func BenchmarkRules(b *testing.B) {
	var p policy.Policy
	for i := range 1000 {
		p.Files = append(p.Files, policy.FileRule{Path: fmt.Sprintf("/srv/data/%d/part", i), Access: policy.Read})
	}
	r, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Free() }()
	for b.Loop() {
		rules, err := EncodeRules(p, []string{"json", "math"})
		if err == nil {
			err = r.SetRules(Limits{Memory: 1 << 20}, rules)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
