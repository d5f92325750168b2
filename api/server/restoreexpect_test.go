package server

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

// A suspended cell, too, goes on only from the checkpoint that is expected: of that cell, and that epoch.
func TestSuspendedCellIsTheOneThatIsExpected(t *testing.T) {
	f := &records{}
	s, _, id := savedCell(t, f, 0)
	f.place = Place{Lost: "n1", Epoch: 7, Phase: Suspended, Checkpoint: id, Copies: []string{"n1"}}
	ctx := context.WithValue(t.Context(), principalKey{}, policystore.Principal{Name: "p", Role: policystore.Admin})
	for _, wrong := range []*pb.RestoreRequest{{Id: id, Cell: "other"}, {Id: id, Epoch: 6}} {
		if _, err := s.Restore(ctx, connect.NewRequest(wrong)); !errors.Is(err, cell.Invalid) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}
