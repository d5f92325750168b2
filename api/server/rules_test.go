package server

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every call of the API has a rule, and every rule is of a call.
func TestRules(t *testing.T) {
	left := map[string]bool{}
	standard := []string{healthCheck, healthWatch, reflectV1, reflectAlpha} // calls of others' services
	for path := range rules {
		left[path] = true
	}
	for _, file := range []protoreflect.FileDescriptor{pb.File_pyisolate_v1_policy_proto, pb.File_pyisolate_v1_cell_proto, pb.File_pyisolate_v1_node_proto, pb.File_pyisolate_v1_cluster_proto, pb.File_pyisolate_v1_transfer_proto} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				path := "/" + string(service.FullName()) + "/" + string(method.Name())
				rule, ok := rules[path]
				switch {
				case !ok || !rule.role.Valid():
					t.Errorf("%s has no rule that names a role", path)
				case method.IsStreamingServer() && (!rule.long || rule.within != 0):
					t.Errorf("%s streams: it must be long and without an end", path)
				case rule.within == 0 && !rule.long:
					t.Errorf("%s may take for ever, in a slot that short calls need", path)
				}
				delete(left, path)
			}
		}
	}
	for path := range left {
		if slices.Contains(standard, path) {
			continue
		}
		t.Errorf("there is a rule for %s, which is no call", path)
	}
}
