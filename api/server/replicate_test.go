package server

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/checkpoint"
)

// records is a fabric that has one cell, of this node, n1.
type records struct {
	Fabric
	place Place
	saves int
}

func (f *records) Self() string                      { return "n1" }
func (f *records) Find(actors.Address) (Place, bool) { return f.place, true }
func (f *records) Refresh(context.Context) error     { return nil }
func (f *records) Seat(string) (uint64, bool)        { return 1, true }
func (f *records) Takes(string) bool                 { return true }

func (f *records) Save(_ context.Context, _ actors.Address, epoch uint64, id string, nodes []string) error {
	f.saves++
	f.place = Place{Node: "n1", Epoch: epoch, Phase: Active, Checkpoint: id, Copies: nodes}
	return nil
}

// savedCell is a cell of n1 that is to have so many copies of its checkpoints, and its only one.
func savedCell(t *testing.T, f Fabric, copies int) (s *cells, r *resident, id string) {
	t.Helper()
	dir := t.TempDir()
	ring, err := checkpoint.OpenRing(filepath.Join(dir, "ring"), nil)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := checkpoint.OpenArchive(filepath.Join(dir, "archive"), ring, checkpoint.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	draft, err := archive.Seal(checkpoint.Header{Tenant: "default", Cell: "web", Epoch: 7, Python: "cpython-314", Created: time.Now(), Chunk: 1 << 10, Compression: checkpoint.None}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := draft.Keep()
	if err != nil {
		t.Fatal(err)
	}
	s = &cells{fabric: f, logger: slog.New(slog.DiscardHandler), checkpoints: &Checkpoints{Archive: archive}, node: func() string { return "n1" }, book: newBook()}
	s.transfers = newTransfers(t.Context(), s)
	r = &resident{entry: newEntry(cellKey{"default", "web"}, terms{}, actors.ID{})}
	r.entry.now, r.entry.epoch, r.entry.last = r, 7, info.ID
	r.saving.Replicas = copies
	return s, r, info.ID
}

// A cell that nobody has copies of goes on from its newest checkpoint, and not from what it moved with.
func TestWhatACellMovedWithGivesWay(t *testing.T) {
	for counts, saves := range map[string]int{"": 0, "of its move": 1} {
		f := &records{place: Place{Node: "n1", Epoch: 7, Phase: Active, Checkpoint: counts, Copies: []string{"n1"}}}
		s, r, id := savedCell(t, f, 0)
		for range 2 {
			s.replicate(t.Context(), r)
		}
		if f.saves != saves || saves > 0 && (f.place.Checkpoint != id || !slices.Equal(f.place.Copies, []string{"n1"})) {
			t.Errorf("where %q counted, %d are agreed, and it is %+v", counts, f.saves, f.place)
		}
	}
}
