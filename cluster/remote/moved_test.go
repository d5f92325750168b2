package remote

import (
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
)

// TestMovedAnswer: a node that is asked for a cell of another one says so, and nothing of it is lost on
// the way.
func TestMovedAnswer(t *testing.T) {
	a, _ := pair(t)
	r := a.remote.Ask(soon(t), "b", post("echo-on-c", "x"))
	if !errors.Is(r.Err, actors.ErrMoved) || cell.KindOf(r.Err) != cell.CellGone || r.Unsure {
		t.Errorf("%+v", r)
	}
	env := post("echo-on-c", "x")
	env.ID, env.Acknowledged = actors.NewID(), true
	if r := a.remote.Ask(soon(t), "b", env); !errors.Is(r.Err, actors.ErrMoved) || r.Unsure {
		t.Errorf("acknowledged: %+v", r)
	}
	env = run("echo-on-b", "pass")
	env.Life = "another"
	if r := a.system.Ask(soon(t), env); cell.KindOf(r.Err) != cell.CellGone || errors.Is(r.Err, actors.ErrMoved) {
		t.Errorf("for another cell of the name: %+v", r)
	}
}
