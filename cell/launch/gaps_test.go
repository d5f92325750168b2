package launch

import (
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// What the LSM programs judge loosely is of the policy that is in force, not of the one that the
// host was started by.
func TestGapsFollowThePolicy(t *testing.T) {
	loose := []string{"/a/*.key is not taken away"}
	of := func(gaps ...string) *confinement {
		return &confinement{report: &cell.Confinement{Layers: []cell.Layer{{Name: string(stack.LSM), Active: true, Gaps: gaps}, {Name: string(stack.Landlock), Gaps: []string{"old"}}}}}
	}
	with := ruling{policy: policy.Policy{Children: 1}, confined: of(loose...)}
	for name, c := range map[string]struct {
		start *confinement
		next  ruling
		want  string
	}{
		"gained":    {of(), with, loose[0]},
		"lost":      {of(loose...), ruling{confined: of()}, ""},
		"no policy": {of(), ruling{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &handle{host: &hostproc{confined: c.start}, ruling: c.next}
			layer := h.settled(stack.LSM, c.next)
			if !layer.Live || layer.Missing != c.want {
				t.Errorf("reloaded: %+v; want %q", layer, c.want)
			}
			if missing := (cell.Reloaded{Layers: []cell.ReloadedLayer{layer}}).NewCell(); missing != nil {
				t.Errorf("a new cell is to have %q", missing)
			}
			layers := h.confinement().Layers
			if got := strings.Join(layers[0].Gaps, "; "); got != c.want {
				t.Errorf("the report has the gaps %q; want %q", got, c.want)
			}
			if got := layers[1].Gaps; len(got) != 1 || got[0] != "old" {
				t.Errorf("what keeps its rules has the gaps %q", got)
			}
		})
	}
}
