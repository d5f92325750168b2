package node

import (
	"testing"

	"github.com/pyisolate/pyisolate/policystore"
)

// Who asked for a source before the node had a name is a user of that node; others stay who they are.
func TestSigned(t *testing.T) {
	for _, c := range []struct{ at, name, token, want string }{
		{"@n1", "uid:0", "", "uid:0@n1"},
		{"@n1", "uid:0@n1", "", "uid:0@n1"},
		{"@n1", "ci", "00000000000000ff", "ci"},
		{"", "uid:0", "", "uid:0"},
	} {
		p := signed{at: c.at}.sign(policystore.Principal{Name: c.name, TokenID: c.token})
		if p.Name != c.want {
			t.Errorf("at %q: %q, want %q", c.at, p.Name, c.want)
		}
	}
}
