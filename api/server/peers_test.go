package server

import (
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// returning is a fabric whose node n2 comes back while it is looked for: it was lost, and is not any more.
type returning struct {
	Fabric
	back bool
}

func (f *returning) Lost() []*pb.Node { f.back = true; return nil }

func (f *returning) Peers() (all []string) {
	if f.back {
		all = []string{"n2"}
	}
	return all
}

// A node that comes back just now is none that the cluster does not have: whoever follows its events would begin anew.
func TestANodeThatComesBackIsThere(t *testing.T) {
	if err := isNode(&peers{fabric: &returning{}}, "n1", "n2"); err != nil {
		t.Error(err)
	}
	if isNode(&peers{fabric: &returning{}}, "n1", "n3") == nil {
		t.Error("there is no n3")
	}
}
