package server

import (
	"context"
	"log/slog"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
)

// brittle is a fabric that panics at whatever it is asked, but counts who gives copies up.
type brittle struct {
	Fabric
	dropped int
}

func (f *brittle) DropCopy(context.Context, actors.Address, uint64, string) error {
	f.dropped++
	return cell.Errorf(cell.Busy, "it is needed")
}

func aMove(f Fabric) *move {
	s := &cells{fabric: f, logger: slog.New(slog.DiscardHandler)}
	return &move{cells: s, entry: &entry{key: cellKey{"default", "web"}}, to: "n2", state: "aa", held: func() {}, changed: make(chan struct{})}
}

// A target that owns the cell may still fail to restore it: then the source's copy is the only one.
func TestACopyIsKeptUntilTheTargetSaysThatItRuns(t *testing.T) {
	for _, runs := range []bool{false, true} {
		f := &brittle{}
		m := aMove(f)
		m.runs = runs
		m.collect(t.Context())
		if dropped := f.dropped > 0; dropped != runs {
			t.Errorf("the target says that it runs: %t; the copy is given up: %t", runs, dropped)
		}
	}
}

func TestAMoveThatPanicsHasFailed(t *testing.T) {
	m := aMove(&brittle{})
	func() {
		defer func() { _ = recover() }() // as the actor does
		_, _ = m.carryOut(t.Context(), nil, actors.Moving{}, 1)
	}()
	if cell.KindOf(m.err) != cell.CellGone {
		t.Errorf("it is %v", m.err)
	}
}
