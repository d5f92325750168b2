package actors

import (
	"context"
	"errors"

	"github.com/pyisolate/pyisolate/cell"
)

// Move has Take take a cell to another node. It waits its turn in both lines, and holds them: what
// is asked meanwhile waits, as far as there is credit, and goes on where the cell is then, in order.
// It is for cells of this node alone.
type Move struct {
	// Take says where the cell is from then on, also with an error, which is why it did not move.
	// It leaves a cell that stays as it was, thawed, and one that moved frozen: that is closed
	// here. Its context ends with the envelope's, and when the cell is to end; what was agreed
	// by then counts all the same.
	Take func(ctx context.Context, c cell.Cell, m Moving) (Moved, error)
}

// Moving is a cell that is taken.
type Moving struct {
	Epoch   uint64
	Carried Carried
}

// Moved is where a cell is.
type Moved struct {
	// Epoch that it is in from now on; 0: as before. Where it stays it is the same incarnation.
	Epoch uint64
	// Via is the way to it, on Node; nil: it stays here. The Directory should say so by now.
	Via  Via
	Node string
}

func (Move) size() int  { return 0 }
func (Move) line() line { return moves }

// ErrMoved is of every answer that a cell has moved to another node, and that nothing was begun
// here; the error is also of kind [cell.CellGone]. Who looks the name up again finds it. Ask does
// so itself, but for a Recv, Snapshot or Move that it asked a cell of this node for.
var ErrMoved = errors.New("the cell has moved")

// movedError is that, in the vocabulary.
type movedError struct{ in *cell.Error }

func (e movedError) Error() string { return e.in.Error() }

// Is implements errors.Is.
func (e movedError) Is(target error) bool { return target == ErrMoved }

// Unwrap gives the error of the vocabulary.
func (e movedError) Unwrap() error { return e.in }

// Elsewhere is an error that is ErrMoved; node may be "".
func Elsewhere(a Address, node string) error {
	where := "another node"
	if node != "" {
		where = "node " + node
	}
	return movedError{cell.Errorf(cell.CellGone, "cell %s has moved to %s; ask there", a, where)}
}
