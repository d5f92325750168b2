package server

import (
	"slices"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// What a client asks for is below what the policy gives, now and in later versions.
func TestNarrow(t *testing.T) {
	given := cell.Limits{Memory: 64 << 20, Wall: time.Second}
	for _, c := range []struct {
		name     string
		imports  []string // of the policy
		asked    terms
		strict   bool
		want     []string
		limits   cell.Limits
		refused  bool
		unbroken bool // limits are as they were
	}{
		{name: "nothing", imports: []string{"math"}, want: []string{"math"}, unbroken: true},
		{name: "fewer imports", imports: []string{"math", "json"}, asked: terms{imports: []string{"json"}}, strict: true, want: []string{"json"}, unbroken: true},
		{name: "a part of a package", imports: []string{"os"}, asked: terms{imports: []string{"os.path"}}, strict: true, want: []string{"os.path"}, unbroken: true},
		{name: "an import that is not given", imports: []string{"math"}, asked: terms{imports: []string{"json"}}, strict: true, refused: true},
		{name: "one that is not given any more", imports: []string{"math"}, asked: terms{imports: []string{"json", "math"}}, want: []string{"math"}, unbroken: true},
		{name: "lower limits", asked: terms{limits: cell.Limits{Memory: 8 << 20, CPU: time.Second}}, strict: true,
			limits: cell.Limits{Memory: 8 << 20, CPU: time.Second, Wall: time.Second}},
		{name: "a higher limit", asked: terms{limits: cell.Limits{Memory: 65 << 20}}, strict: true, refused: true},
		{name: "a limit that a later version lowers", asked: terms{limits: cell.Limits{Memory: 65 << 20}}, limits: given},
		{name: "more of a default", asked: terms{limits: cell.Limits{Files: 100}}, strict: true, refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy, err := computingOnly(c.imports)
			if err != nil {
				t.Fatal(err)
			}
			imports, limits := policy.Imports, given
			err = c.asked.narrow(&imports, &limits, policy, c.strict)
			if (err != nil) != c.refused || c.refused && cell.KindOf(err) != cell.PolicyDenied {
				t.Fatalf("error %v", err)
			}
			if c.refused {
				return
			}
			if c.unbroken {
				c.limits = given
			}
			if !slices.Equal(imports, c.want) || limits.WithDefaults() != c.limits.WithDefaults() {
				t.Errorf("imports %v, want %v; limits %+v", imports, c.want, limits)
			}
		})
	}
}

// Cells without a policy have what run gives, and no more.
func TestComputing(t *testing.T) {
	c, err := standard()
	if err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]bool{"math": true, "json": true, "socket": false, "os": false, "ctypes": false} {
		if got := c.Explain(document.Query{Import: module}).Allowed; got != want {
			t.Errorf("import %s: %t", module, got)
		}
	}
	if len(c.Grants) != 0 || len(c.Policy.Files)+len(c.Policy.Net) != 0 {
		t.Errorf("it may do more: %+v", c)
	}
}
