package node

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

// talker answers everything, and calls meanwhile while it does.
type talker struct {
	*mortal
	meanwhile func()
	fails     error
}

func (k talker) did() error {
	k.meanwhile()
	return k.fails
}

func (k talker) Exec(context.Context, cell.Source) error { return k.did() }

func (k talker) Call(context.Context, cell.Invocation) (cell.Value, error) {
	return cell.BytesValue([]byte("said")), k.did()
}
func (k talker) Send(context.Context, cell.Value) error { return k.did() }

func (k talker) Recv(context.Context) (cell.Item, error) {
	return cell.Item{Value: cell.BytesValue([]byte("said"))}, k.did()
}

func (k talker) Snapshot(context.Context, func([]byte) error) (cell.Snapshot, error) {
	return cell.Snapshot{Size: 1}, k.did()
}
func (k talker) Restore(context.Context, io.Reader) error { return k.did() }

func (k talker) Spec() cell.Spec { return cell.Spec{Name: "c"} }

// operations of a cell that are asked of a guest.
var operations = map[string]func(cell.Cell) error{
	"exec": func(c cell.Cell) error { return c.Exec(context.Background(), cell.Source{}) },
	"call": func(c cell.Cell) error {
		v, err := c.Call(context.Background(), cell.Invocation{})
		if err != nil && len(v.Data) > 0 {
			return errors.New("it is said beside an error")
		}
		return err
	},
	"snapshot": func(c cell.Cell) error { _, err := c.Snapshot(context.Background(), nil); return err },
	"restore":  func(c cell.Cell) error { return c.Restore(context.Background(), nil) },
}

func TestWithoutALeaseNothingIsAnswered(t *testing.T) {
	guestError := cell.Errorf(cell.GuestError, "ValueError")
	for name, do := range operations {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				name          string
				before, after uint64 // sessions; the cell is of 7
				fails, want   error
			}{
				{"in its session", 7, 7, nil, nil},
				{"a guest's error in its session", 7, 7, guestError, cell.GuestError},
				{"no lease", 0, 0, nil, cell.CellGone},
				{"another session", 8, 8, nil, cell.CellGone},
				{"the lease ended meanwhile", 7, 0, nil, cell.UnknownOutcome},
				{"another session began meanwhile", 7, 8, nil, cell.UnknownOutcome},
				{"a guest's error after the lease", 7, 0, guestError, cell.UnknownOutcome},
				{"killed with the lease", 7, 0, cell.Errorf(cell.CellGone, "cut off"), cell.CellGone},
				{"not begun", 7, 0, cell.Errorf(cell.Busy, "full"), cell.Busy},
			} {
				now := c.before
				k := talker{newMortal(), func() { now = c.after }, c.fails}
				err := do(&leased{Cell: k, now: func() uint64 { return now }, begun: 7})
				if !errors.Is(err, c.want) {
					t.Errorf("%s: %v, not %v", c.name, err, c.want)
				}
			}
		})
	}
}

// What a guest has said is had while its node has the lease, and for ever if it ended before that did.
func TestWithoutALeaseNothingIsReceived(t *testing.T) {
	for _, c := range []struct {
		name  string
		ends  uint64 // the session in which it ends; 0: it runs
		now   uint64
		while uint64 // the session that comes while it is waited for
		want  error
	}{
		{"it runs in its session", 0, 7, 7, nil},
		{"it wakes without a lease", 0, 7, 9, cell.CellGone},
		{"it ended in its session", 7, 9, 9, nil},
		{"it ended after its session", 9, 9, 9, cell.CellGone},
	} {
		now := make(chan uint64, 1)
		now <- c.now
		k := talker{mortal: newMortal(), meanwhile: func() { <-now; now <- c.while }}
		if c.ends != 0 {
			<-now
			now <- c.ends
		}
		l := lease(k, func() uint64 { n := <-now; now <- n; return n }, 7)
		if c.ends != 0 {
			k.end("")
			<-l.watched
			<-now
			now <- c.now
		} else {
			t.Cleanup(func() { k.end("") })
		}
		if i, err := l.Recv(t.Context()); !errors.Is(err, c.want) || err != nil && len(i.Value.Data) > 0 {
			t.Errorf("%s: %v and %v", c.name, i, err)
		}
	}
}

func TestCellsAreOfTheSessionThatTheyWereStartedIn(t *testing.T) {
	now := uint64(7)
	s := newSpawner(newCapacity(0, 0))
	k := talker{mortal: newMortal(), meanwhile: func() {}}
	defer k.end("")
	s.session = func() uint64 { return now }
	s.begin(ready{&k})
	c, err := s.Spawn(t.Context(), cell.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), cell.Value{}); err != nil {
		t.Error(err)
	}
	now = 8
	if err := c.Send(t.Context(), cell.Value{}); !errors.Is(err, cell.CellGone) {
		t.Errorf("a cell of session 7 is sent to in session 8: %v", err)
	}
	await.That(t, "nothing is under way", func() bool { return s.underWay() == 0 })
}

// ready starts what there is.
type ready struct{ c cell.Cell }

func (r ready) Spawn(context.Context, cell.Spec) (cell.Cell, error) { return r.c, nil }
