package server_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/await"
)

// Restore takes what comes for the cell.
func (e *empty) Restore(_ context.Context, from io.Reader) error {
	err := e.took(from)
	if end := e.end; err == nil && end != nil {
		err = end()
	}
	if err != nil {
		e.Kill("")
	}
	e.ended.Store(true)
	return err
}

func (e *empty) took(from io.Reader) error {
	for piece := make([]byte, 100); ; {
		n, err := from.Read(piece)
		e.mu.Lock()
		e.state.Write(piece[:n])
		e.mu.Unlock()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

func (e *empty) has() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Clone(e.state.Bytes())
}

// sentState is the state of cell a of n2, its file, and the key that opens it.
type sentState struct {
	state, file []byte
	id          string
	key         checkpoint.SharedKey
	carried     actors.Carried
}

// someArchive is empty, with a key of its own.
func someArchive(t *testing.T) (*checkpoint.Archive, *checkpoint.Ring) {
	t.Helper()
	ring, err := checkpoint.OpenRing(filepath.Join(t.TempDir(), "ring"), nil)
	must(t, err)
	archive, err := checkpoint.OpenArchive(t.TempDir(), ring, checkpoint.Bounds{})
	must(t, err)
	return archive, ring
}

func stateToSend(t *testing.T) (s sentState) {
	t.Helper()
	archive, ring := someArchive(t)
	s.state = bytes.Repeat([]byte("the state of a cell "), 1000)
	out, err := archive.Seal(checkpoint.Header{Tenant: "default", Cell: "a", Epoch: 7, Python: "cpython-314", Created: time.Now(), Chunk: 1 << 10, Compression: checkpoint.None}, nil, nil)
	must(t, err)
	_, err = out.Write(s.state)
	must(t, err)
	info, err := out.Keep()
	must(t, err)
	file, _, err := archive.OpenAt(info.ID, 0)
	must(t, err)
	s.file, err = io.ReadAll(file)
	must(t, err)
	must(t, file.Close())
	s.id = info.ID
	s.key, err = ring.Share("default", info.Header.Key.ID)
	must(t, err)
	return s
}

type pushing = connect.ClientStreamForClient[pb.PushRequest, pb.PushResponse]

// begin sends the file up to a byte.
func (s sentState) begin(t *testing.T, from api.TransferServiceClient, migration string, end int) *pushing {
	t.Helper()
	out := from.Push(t.Context())
	must(t, out.Send(&pb.PushRequest{Part: &pb.PushRequest_Begin_{Begin: &pb.PushRequest_Begin{Transfer: migration,
		Cell: &pb.CellRef{Tenant: "default", Name: "a"}, KeyId: s.key.ID, Key: s.key.Key}}}))
	s.send(out, 0, end)
	return out
}

// send sends bytes of the file. That they were not taken is said at the end.
func (s sentState) send(out *pushing, begin, end int) {
	_ = out.Send(&pb.PushRequest{Part: &pb.PushRequest_Data{Data: s.file[begin:end]}})
}

// activate has cell a, of which all is here, go on here.
func (s sentState) activate(t *testing.T, n *target, from api.TransferServiceClient, kept ...*pb.Item) error {
	t.Helper()
	a := actors.Address{Tenant: "default", Name: "a"}
	n.world.mu.Lock()
	own := n.world.places[a]
	own.Phase, own.Target, own.Migration, own.Checkpoint, own.Copies = server.Frozen, "n1", "m", s.id, []string{"n1", "n2"}
	n.world.places[a] = own
	n.world.mu.Unlock()
	carried, err := s.carried.MarshalBinary()
	must(t, err)
	_, err = from.Activate(t.Context(), connect.NewRequest(&pb.ActivateRequest{Migration: "m", Checkpoint: s.id, Epoch: 7, Carried: carried, Kept: kept}))
	return err
}

// halfway is a move of cell a from n2, of whose state the cell here has a part.
func halfway(t *testing.T) (n *target, from api.TransferServiceClient, s sentState, out *pushing) {
	t.Helper()
	n = newTarget(t)
	close(n.making)
	from, s = n.peer("n2"), stateToSend(t)
	must(t, reserve(t.Context(), from, wanted("a", "m")))
	out = s.begin(t, from, "m", len(s.file)/2)
	await.That(t, "the cell has a part of the state", func() bool { return len(n.last.Load().has()) > len(s.state)/4 })
	return n, from, s, out
}

// A state is put into the cell while it comes, and ends when the cell is this node's.
func TestReadAhead(t *testing.T) {
	n, from, s, out := halfway(t)
	s.send(out, len(s.file)/2, len(s.file))
	answer, err := out.CloseAndReceive()
	must(t, err)
	if answer.Msg.GetCheckpoint() != s.id {
		t.Errorf("it has %s", answer.Msg.GetCheckpoint())
	}
	c := n.last.Load()
	await.That(t, "the cell has nearly all of the state", func() bool { return len(c.has()) > len(s.state)-2<<10 })
	if c.ended.Load() || len(c.has()) >= len(s.state) {
		t.Error("it is told that the state is whole, and is no cell of this node yet")
	}
	must(t, s.activate(t, n, from))
	if !c.ended.Load() || !bytes.Equal(c.has(), s.state) {
		t.Errorf("it runs, and was given %d bytes", len(c.has()))
	}
}

// What is read ahead ends with whatever ends its move, and nothing of it is left.
func TestReadAheadInVain(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *target, api.TransferServiceClient){
		"by its source": func(t *testing.T, _ *target, from api.TransferServiceClient) {
			_, err := from.Cancel(t.Context(), connect.NewRequest(&pb.CancelRequest{Migration: "m"}))
			must(t, err)
		},
		"by its cell's end": func(_ *testing.T, n *target, _ api.TransferServiceClient) { n.last.Load().Kill("") },
		"by its node's end": func(t *testing.T, n *target, _ api.TransferServiceClient) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = n.server.Close(ctx) // one call stays under way
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, from, s, out := halfway(t)
			c := n.last.Load()
			end(t, n, from)
			await.That(t, "it has ended", func() bool { return c.ended.Load() && n.alive.Load() == 0 })
			await.That(t, "nothing of it is left", func() bool { return n.server.ArrivingOf("n2", "m") == 0 })
			if len(c.has()) >= len(s.state) {
				t.Error("the cell was given all of it")
			}
			s.send(out, len(s.file)/2, len(s.file))
			if _, err := out.CloseAndReceive(); err == nil || name != "by its node's end" && connect.CodeOf(err) != connect.CodeAborted {
				t.Errorf("what comes after that: %v", err)
			}
		})
	}
}

// What is sent for a move that nothing is reserved for is refused, also if the sender has the cell.
func TestSentTooLate(t *testing.T) {
	n := newTarget(t)
	close(n.making)
	from, s := n.peer("n2"), stateToSend(t)
	if _, err := s.begin(t, from, "m", len(s.file)).CloseAndReceive(); connect.CodeOf(err) != connect.CodeAborted {
		t.Errorf("it is taken: %v", err)
	}
	if left := n.server.ArrivingOf("n2", "m"); left > 0 {
		t.Errorf("%d bytes of it are left", left)
	}
}
