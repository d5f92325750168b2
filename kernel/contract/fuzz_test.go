package contract

import (
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/cilium/ebpf"
)

// FuzzParse: any text is a contract or has a fault at a place in it; a contract reads back
// as it was written, judges without panic and compiles within its bound.
func FuzzParse(f *testing.F) {
	for _, c := range judgements {
		f.Add(c.source)
	}
	for _, s := range []string{"opens in {1..2, 5,}; ;\n#x\n", "if (opens==1) => cpu<1h then not not open.read", `open.path under {"/\x61\"b"`, "connect.address not in {::/0, 1.2.3.4/31}", "bytes_sent>18446744073709551614"} {
		f.Add(s)
	}
	array, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(EventSize), MaxEntries: 1})
	if err != nil {
		f.Logf("nothing is compiled, since there are no maps: %v", err)
	} else {
		f.Cleanup(func() { _ = array.Close() })
	}
	f.Fuzz(func(t *testing.T, source string) {
		c, err := Parse(source)
		if err != nil {
			var list Errors
			if !errors.As(err, &list) || len(list) == 0 || len(list) > MaxErrors {
				t.Fatalf("%v", err)
			}
			for _, e := range list {
				if e.Position.Line < 1 || e.Position.Column < 1 || e.Position.Column > len(source)+1 || e.Text == "" || len(e.Text) > 1000 || !utf8.ValidString(e.Text) {
					t.Fatalf("%+v", e)
				}
			}
			return
		}
		if text := c.String(); len(text) <= MaxSource {
			again, err := Parse(text)
			if err != nil {
				t.Fatalf("%v\nin\n%s", err, text)
			}
			if a, b := meaning(c), meaning(again); !reflect.DeepEqual(a, b) {
				t.Fatalf("%s is another when it is read again: %s", text, again)
			}
		}
		for _, e := range []Event{{}, {Hook: Send}, {Hook: Connect, Family: 10}, OpenEvent("/a", Write, Counters{})} {
			if r := c.Judge(&e); r != nil && r.Text == "" {
				t.Fatal("a refusal without a text")
			}
		}
		if array == nil {
			return
		}
		for h := Open; h <= Fork; h++ {
			p, err := c.compile(h, Target{Type: ebpf.SchedCLS, Events: array})
			if fault := (*Error)(nil); err != nil && !errors.As(err, &fault) {
				t.Fatal(err)
			}
			if err == nil && len(p.places) > 2*MaxProgram {
				t.Fatalf("%d instructions", len(p.places))
			}
		}
	})
}

// meaning is a contract without its places. What it had is lost.
func meaning(c *Contract) []assertion {
	for i := range c.assertions {
		c.assertions[i].at = Position{}
		all(c.assertions[i].condition, func(t *test) { t.at = Position{} })
	}
	return c.assertions
}
