package server

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/cluster/schedule"
)

// records is a fabric that has one cell, of this node, n1.
type records struct {
	Fabric
	place Place
	saves int
	drops int
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

func (f *records) DropCopy(context.Context, actors.Address, uint64, string) error {
	f.drops++
	return nil
}

// savedCell is a cell of n1 that is to have so many copies of its checkpoints, and its only one.
func savedCell(t *testing.T, f Fabric, copies int) (s *cells, r *resident, id string) {
	t.Helper()
	archive := emptyArchive(t)
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

// The source of a move has one of the copies that a cell is to have: there is no moment in which there are fewer.
func TestTheSourceOfAMoveKeepsACopy(t *testing.T) {
	for copies, drops := range []int{1, 0} {
		f := &records{place: Place{Node: "n2", Epoch: 8, Phase: Active, Copies: []string{"n1", "n2"}}}
		s, r, id := savedCell(t, f, copies)
		m := aMove(f)
		m.cells, m.entry, m.state, m.runs = s, r.entry, id, true
		m.collect(t.Context())
		_, err := s.checkpoints.Archive.Get(id)
		if kept := err == nil; f.drops != drops || kept != (drops == 0) || (s.transfers.replicas[id] != nil) != (drops == 0) {
			t.Errorf("with %d copies, %d are given up; the state is here: %t", copies, f.drops, kept)
		}
		s.transfers.ownCopy(id)
	}
}

// What counted before a move is needed no longer than until the cell has its copies at its new node, which may be those
// that the move left.
func TestWhatCountedBeforeAMoveIsForgotten(t *testing.T) {
	f := &records{}
	s, r, id := savedCell(t, f, 1)
	f.place = Place{Node: "n1", Epoch: 7, Phase: Active, Checkpoint: id, Copies: []string{"n1", "n2"}, Before: "older", BeforeCopies: []string{"n1"}}
	for range 2 {
		s.replicate(t.Context(), r)
	}
	if f.saves != 1 || f.place.Before != "" || f.place.Checkpoint != id || !slices.Equal(f.place.Copies, []string{"n1", "n2"}) {
		t.Errorf("%d are agreed, and it is %+v", f.saves, f.place)
	}
}

// slow is a fabric in which it takes long to find a node for a copy.
type slow struct {
	records
	asked chan struct{}
}

func (f *slow) Choose(ctx context.Context, _ schedule.Wish, _ []string) (string, error) {
	close(f.asked)
	<-ctx.Done()
	return "", ctx.Err()
}

// alive is a cell that does not end.
type alive struct{ cell.Cell }

func (alive) Spec() cell.Spec       { return cell.Spec{} }
func (alive) Done() <-chan struct{} { return nil }

// The end of a node does not wait until its cells' checkpoints have their copies.
func TestTheEndOfANodeDoesNotWaitForCopies(t *testing.T) {
	f := &slow{records{place: Place{Node: "n1", Epoch: 7, Phase: Active}}, make(chan struct{})}
	s, r, _ := savedCell(t, f, 1)
	ending, end := context.WithCancel(t.Context())
	s.transfers.ending, r.cell = ending, alive{}
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.autosave(r)
	}()
	<-f.asked
	end()
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits")
	}
}
