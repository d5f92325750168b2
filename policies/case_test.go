package policies_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policies"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// deed is one line of cases/NAME.txt: "allow read /srv/data". A line "NAME:" before it says
// of which sandbox; at first it is of the first.
type deed struct {
	sandbox  string
	allowed  bool
	verb, on string
	verdict  document.Verdict
}

func (d deed) query(t *testing.T) document.Query {
	t.Helper()
	switch d.verb {
	case "read":
		return document.Query{Path: d.on, Access: policy.Read}
	case "write":
		return document.Query{Path: d.on, Access: policy.Write}
	case "import":
		return document.Query{Import: d.on}
	case "connect":
		if a, err := netip.ParseAddrPort(d.on); err == nil {
			return document.Query{Address: a}
		}
		host, port, found := strings.Cut(d.on, ":")
		var n uint16
		if _, err := fmt.Sscan(port, &n); err == nil && found {
			return document.Query{Host: host, Port: n}
		}
	}
	t.Fatalf("%s %s is no deed", d.verb, d.on)
	return document.Query{}
}

// readDeeds reads a template's cases and judges each.
func readDeeds(t *testing.T, name string, d *document.Document) (deeds []deed) {
	t.Helper()
	text, err := os.ReadFile("cases/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	sandbox := d.Sandboxes()[0]
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 1 {
			sandbox = strings.TrimSuffix(fields[0], ":")
			continue
		}
		if len(fields) != 3 || (fields[0] != "allow" && fields[0] != "deny") {
			t.Fatalf("cases/%s.txt: %q is no case", name, line)
		}
		c, err := d.Compile(sandbox, document.Options{})
		if err != nil {
			t.Fatal(err)
		}
		one := deed{sandbox: sandbox, allowed: fields[0] == "allow", verb: fields[1], on: fields[2]}
		one.verdict = c.Explain(one.query(t))
		deeds = append(deeds, one)
	}
	return deeds
}

func template(t *testing.T, name string) *document.Document {
	t.Helper()
	text, err := policies.Template(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Parse("policies/"+name+".yml", text)
	if err == nil {
		err = d.Check(document.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Each template compiles, and permits and refuses what its cases say; each says both.
func TestTemplates(t *testing.T) {
	if len(policies.Names()) != 7 {
		t.Errorf("templates: %v", policies.Names())
	}
	for _, name := range policies.Names() {
		t.Run(name, func(t *testing.T) {
			d := template(t, name)
			said := map[string]map[bool]int{}
			for _, one := range readDeeds(t, name, d) {
				if one.verdict.Allowed != one.allowed {
					t.Errorf("%s: %s %s: %+v", one.sandbox, one.verb, one.on, one.verdict)
				}
				if said[one.sandbox] == nil {
					said[one.sandbox] = map[bool]int{}
				}
				said[one.sandbox][one.allowed]++
			}
			for _, sandbox := range d.Sandboxes() {
				if said[sandbox][true] < 1 || said[sandbox][false] < 3 {
					t.Errorf("%s has %d cases that are allowed and %d that are denied", sandbox, said[sandbox][true], said[sandbox][false])
				}
			}
		})
	}
}
