package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/policystore"
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

// What has left is not moved from here, not even to here: who asks goes after it, and who wanted it away has that.
func TestWhatHasLeftIsNotMovedFromHere(t *testing.T) {
	f := &stopped{}
	m := aMove(f)
	m.cells.checkpoints = &Checkpoints{}
	e := newEntry(cellKey{"default", "web"}, terms{}, actors.ID{})
	e.leave("n2")
	for _, to := range []string{"n1", "n2", "n3"} {
		if _, _, err := m.cells.beginMove(t.Context(), e, to); !errors.Is(err, actors.ErrMoved) {
			t.Errorf("to %s: %v", to, err)
		}
		if err := m.cells.moveTo(t.Context(), e, to); err != nil {
			t.Errorf("away to %s: %v", to, err)
		}
	}
}

// A node that is emptied waits for the moves of its cells that others have begun: a cell that is being moved is none that
// cannot move, which would be closed.
func TestEmptyingWaitsForTheMovesOfOthers(t *testing.T) {
	m := aMove(&stopped{})
	m.cells.checkpoints = &Checkpoints{}
	e := newEntry(cellKey{"default", "web"}, terms{}, actors.ID{})
	m.entry, e.move, m.over, m.cancel = e, m, make(chan struct{}), func(error) {}
	ctx, moved := &watched{Context: t.Context(), waits: make(chan struct{})}, make(chan error, 1)
	go func() { moved <- m.cells.moveTo(ctx, e, "n3") }()
	select {
	case err := <-moved:
		t.Fatalf("it is not waited for: %v", err)
	case <-ctx.waits:
	}
	e.leave("n2")
	m.end()
	if err := <-moved; err != nil {
		t.Error(err)
	}
}

// sealState has an archive keep a state of cell default/web.
func sealState(t *testing.T, archive *checkpoint.Archive) checkpoint.Info {
	t.Helper()
	draft, err := archive.Seal(checkpoint.Header{Tenant: "default", Cell: "web", Epoch: 7, Python: "cpython-314", Created: time.Now(), Chunk: 1 << 10, Compression: checkpoint.None}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := draft.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	info, err := draft.Keep()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// sealedState is an archive and the file of a checkpoint in it.
func sealedState(t *testing.T) (*checkpoint.Archive, []byte) {
	t.Helper()
	archive := emptyArchive(t)
	in, _, err := archive.OpenAt(sealState(t, archive).ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(in)
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	return archive, file
}

// What a state is expected to have is what it had, or what the cell has in use if that is less.
func TestWhatAStateIsExpectedToHave(t *testing.T) {
	archive := emptyArchive(t)
	m := aMove(&stopped{})
	m.cells.checkpoints = &Checkpoints{Archive: archive}
	if got := m.expects(1 << 20); got != 0 {
		t.Errorf("without a checkpoint it is %d", got)
	}
	info := sealState(t, archive)
	m.entry.last = info.ID
	for memory, want := range map[int64]int64{1 << 20: info.Size, 1000: 1000, 0: 0} {
		if got := m.expects(memory); got != want {
			t.Errorf("of %d in use it is %d", memory, got)
		}
	}
}

// stopped is a fabric whose nodes answer nothing, and in which a move is decided as it says.
type stopped struct {
	Fabric
	decides Place
	asked   chan struct{} // closed when the target is asked something
}

func (f *stopped) Self() string                  { return "n1" }
func (f *stopped) HTTP(string) http.RoundTripper { return f }
func (f *stopped) Via(node string) actors.Via    { return to(node) }

func (f *stopped) AbortMove(context.Context, actors.Address, uint64) (Place, error) {
	return f.decides, nil
}

func (f *stopped) RoundTrip(r *http.Request) (*http.Response, error) {
	close(f.asked)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// to is the way to a node.
type to string

func (to) Ask(context.Context, actors.Envelope) actors.Reply { return actors.Reply{} }

// still is a cell that can be thawed, and has ended.
type still struct {
	cell.Cell
	thawed bool
}

func (c *still) Thaw(context.Context) error { c.thawed = true; return nil }

func (c *still) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// A target that has stopped keeps nobody: who gives a move up hears what the cluster has decided, and the cell is
// where that says, by the way to that node.
func TestAMoveDoesNotWaitForATargetThatHasStopped(t *testing.T) {
	for _, node := range []string{"n1", "n2"} {
		t.Run(node, func(t *testing.T) {
			f := &stopped{decides: Place{Node: node, Epoch: 8, Phase: Active}, asked: make(chan struct{})}
			m := aMove(f)
			m.entry, m.epoch = newEntry(cellKey{"default", "web"}, terms{}, actors.ID{}), 7
			m.cells.peers, m.cells.book = newPeers(f), newBook()
			defer m.cells.book.ends.Wait()
			ctx, cancel := context.WithCancelCause(t.Context())
			over := make(chan actors.Moved, 1)
			guest, stays := &still{}, node == "n1"
			go func() {
				moved, _ := m.handOver(ctx, guest, actors.Moving{Epoch: 7}, Place{Node: "n1", Epoch: 7, Phase: Active}, nil)
				over <- moved
			}()
			<-f.asked
			cancel(errAborted)
			select {
			case moved := <-over:
				if guest.thawed != stays || (moved.Via == nil) != stays || !stays && moved.Via != to("n2") || moved.Epoch != 8 {
					t.Errorf("it is %+v; thawed here: %t", moved, guest.thawed)
				}
				if stays && cell.KindOf(m.err) != cell.Cancelled {
					t.Errorf("the move ends by %v", m.err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the target is waited for")
			}
		})
	}
}

// What was reserved ends when its state cannot be kept: that is no reason, and the disk is. What was given up since
// is told as that.
func TestWhyWhatComesIsTakenNoMore(t *testing.T) {
	at := &transfers{cells: &cells{node: func() string { return "n3" }, logger: slog.New(slog.DiscardHandler)}}
	for _, c := range []struct {
		migration string
		err, want error
	}{
		{"move-1", fmt.Errorf("checkpoints: %w", unix.ENOSPC), policystore.ErrLimited},
		{"move-1", fmt.Errorf("%w: it was given up", checkpoint.ErrNotFound), policystore.ErrConflict},
		{copyTransfer + "1", fmt.Errorf("%w: it was given up", checkpoint.ErrNotFound), policystore.ErrNotFound},
	} {
		if err := at.why(reserved{"n2", c.migration}, c.err); !errors.Is(err, c.want) {
			t.Errorf("%s, %v: %v", c.migration, c.err, err)
		}
	}
}
