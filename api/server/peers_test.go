package server

import (
	"strings"
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// returning is a fabric whose node n2 comes back while it is looked for: it was lost, and is not any more.
type returning struct {
	Fabric
	back bool
}

func (f *returning) Lost() []*pb.Node { f.back = true; return nil }

func (f *returning) Self() string               { return "n1" }
func (f *returning) Seat(string) (uint64, bool) { return 0, false }

func (f *returning) Peers() (all []string) {
	if f.back {
		all = []string{"n2"}
	}
	return all
}

// A node that comes back just now is none that the cluster does not have: whoever follows its events would begin anew,
// and who moves a cell to it would not try again.
func TestANodeThatComesBackIsThere(t *testing.T) {
	if err := isNode(&peers{fabric: &returning{}}, "n1", "n2"); err != nil {
		t.Error(err)
	}
	if isNode(&peers{fabric: &returning{}}, "n1", "n3") == nil {
		t.Error("there is no n3")
	}
	for to, want := range map[string]string{"n2": "node n2 has no lease", "n3": `node "n3" is none of the cluster's`} {
		s := &cells{fabric: &returning{}, checkpoints: &Checkpoints{}}
		if _, _, err := s.beginMove(t.Context(), &entry{}, to); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a move to %s: %v", to, err)
		}
	}
}
