package server

import (
	"context"
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
)

// blank is a cell whose state is empty.
type blank struct{ alive }

func (blank) Snapshot(context.Context, func([]byte) error) (cell.Snapshot, error) {
	return cell.Snapshot{Python: "cpython-314"}, nil
}
func (blank) Thaw(context.Context) error { return nil }

// A checkpoint that only somebody else can open is none that the cell goes on from: what was done since the last one is
// done since then still.
func TestWhatIsSealedToOthersIsNoCheckpointOfTheCell(t *testing.T) {
	identity, err := checkpoint.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to   *checkpoint.Recipient
		want uint64
	}{{identity.Recipient(), 1}, {nil, 0}} {
		s, r, _ := savedCell(t, &records{}, 0)
		s.checkpoints.Python = func() string { return "cpython-314" }
		r.cell, r.entry.asked = blank{}, &pb.SpawnRequest{}
		r.entry.touched.add()
		if _, err := s.save(t.Context(), r.entry, blank{}, 7, saving{to: c.to}); err != nil {
			t.Fatal(err)
		}
		if got := r.entry.touched.count.Load(); got != c.want {
			t.Errorf("sealed to others, %t: %d are not in a checkpoint, want %d", c.to != nil, got, c.want)
		}
	}
}
