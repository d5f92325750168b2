package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
)

const (
	// piecesAhead is how many pieces of a file wait to be sent while the next is sealed.
	piecesAhead = 16
	// pushes is how often the rest of a file is sent.
	pushes = 3
)

// pushed is the memory of pieces, which those that come later use again.
var pushed = sync.Pool{New: func() any { return new(make([]byte, 0, pushPiece)) }}

// push is a checkpoint's file on its way to another node. It is for one goroutine.
type push struct {
	cells        *cells
	key          cellKey
	to, transfer string
	told         func(sent int64) // how much of the file has gone; nil: nobody wants to know

	stream *connect.ClientStreamForClient[pb.PushRequest, pb.PushResponse] // nil: none has begun
	pieces chan *[]byte
	sent   chan error // of the goroutine that sends, once
}

// mirror begins to send the file while it is written; see [checkpoint.Mirror].
func (p *push) mirror(ctx context.Context) checkpoint.Mirror {
	return func(h checkpoint.Header) (io.Writer, error) {
		if err := p.begin(ctx, h.Key.ID, 0); err != nil {
			return nil, err
		}
		return p, nil
	}
}

// begin begins to send what is written from an offset on.
func (p *push) begin(ctx context.Context, keyID string, offset int64) error {
	key, err := p.cells.checkpoints.Archive.Ring().Share(p.key.tenant, keyID)
	if err != nil {
		return err
	}
	p.stream = p.target().Push(ctx)
	headers(ctx, p.stream.RequestHeader())
	first := &pb.PushRequest_Begin{Transfer: p.transfer, Cell: p.key.ref(), Offset: offset, KeyId: key.ID, Key: key.Key}
	if err := p.stream.Send(&pb.PushRequest{Part: &pb.PushRequest_Begin_{Begin: first}}); err != nil {
		return p.answered(ctx, err)
	}
	p.pieces, p.sent = make(chan *[]byte, piecesAhead), make(chan error, 1)
	go p.send(p.stream, offset, p.pieces, p.sent)
	return nil
}

// send sends what is written, until there is no more. What comes after an error is dropped. It is for a goroutine
// of its own, and so looks at nothing of p that changes.
func (p *push) send(to *connect.ClientStreamForClient[pb.PushRequest, pb.PushResponse], gone int64, pieces <-chan *[]byte, sent chan<- error) {
	var err error
	for piece := range pieces {
		if err == nil {
			err = to.Send(&pb.PushRequest{Part: &pb.PushRequest_Data{Data: *piece}})
		}
		if err == nil {
			gone += int64(len(*piece))
			p.tell(gone)
		}
		pushed.Put(piece)
	}
	sent <- err
}

// target is the API of the node that is to have the file.
func (p *push) target() api.TransferServiceClient { return p.cells.peers.of(p.to).transfers }

func (p *push) tell(gone int64) {
	if p.told != nil {
		p.told(gone)
	}
}

// Write implements io.Writer. That something was not sent is known at the end.
func (p *push) Write(b []byte) (n int, err error) {
	for n < len(b) {
		piece := pushed.Get().(*[]byte)
		*piece = append((*piece)[:0], b[n:min(len(b), n+pushPiece)]...)
		n += len(*piece)
		p.pieces <- piece
	}
	return n, nil
}

// ended says that nothing more is written.
func (p *push) ended() {
	if p.pieces != nil {
		close(p.pieces)
		p.pieces = nil
	}
}

// answered closes the stream and returns the answer's error, which says more than that nothing more could be
// sent.
func (p *push) answered(ctx context.Context, err error) error {
	_, told := p.stream.CloseAndReceive()
	p.stream = nil
	if told == nil {
		return err
	}
	return fault.Answered(fromPeer(ctx, p.to, told))
}

// finish waits until the target has the file that has been written, and sends again what it has not.
func (p *push) finish(ctx context.Context, info checkpoint.Info) error {
	err := fmt.Errorf("%w: the state was not sent", fault.ErrUnavailable)
	if p.stream != nil {
		err = p.wait(ctx, info)
	}
	for range pushes {
		if err == nil || !lost(err) && !errors.Is(err, fault.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		err = p.rest(ctx, info)
	}
	return err
}

// wait returns the target's answer.
func (p *push) wait(ctx context.Context, info checkpoint.Info) error {
	p.ended()
	failed := <-p.sent
	if failed != nil && !errors.Is(failed, io.EOF) {
		return p.answered(ctx, failed)
	}
	answer, err := p.stream.CloseAndReceive()
	p.stream = nil
	switch {
	case err != nil:
		return fault.Answered(fromPeer(ctx, p.to, err))
	case answer.Msg.GetCheckpoint() != info.ID:
		return cell.Errorf(cell.Invalid, "node %s has checkpoint %.16s, and not %.16s", p.to, answer.Msg.GetCheckpoint(), info.ID)
	}
	return nil
}

// rest sends what the target has not.
func (p *push) rest(ctx context.Context, info checkpoint.Info) error {
	there, err := p.target().Pushed(ctx, toPeer(ctx, &pb.PushedRequest{Transfer: p.transfer}))
	if err != nil {
		return fault.Answered(fromPeer(ctx, p.to, err))
	}
	offset := there.Msg.GetOffset()
	file, _, err := p.cells.checkpoints.Archive.OpenAt(info.ID, offset)
	if err != nil {
		return p.cells.worded(err)
	}
	defer func() { _ = file.Close() }()
	p.tell(offset)
	if err := p.begin(ctx, info.Header.Key.ID, offset); err != nil {
		return err
	}
	_, err = io.Copy(p, struct{ io.Reader }{file})
	p.ended()
	return errors.Join(err, p.wait(ctx, info))
}

// drop ends what has begun.
func (p *push) drop() {
	p.ended()
	if p.stream != nil {
		<-p.sent //nolint:errcheck // why it was given up is known
		_, _ = p.stream.CloseAndReceive()
	}
}

// copy takes the state out, and has both nodes keep it, while the target keeps room and the move is not decided.
// The guest is left frozen, also when it fails.
func (m *move) copy(ctx context.Context, c cell.Cell) error {
	m.enter(copying)
	ctx, overtaken := context.WithCancelCause(ctx)
	defer overtaken(nil) // a stream that is not over
	go m.loseHeart(ctx, overtaken)
	go func() {
		if _, err := m.cells.fabric.Decided(ctx, m.entry.key.address(), m.epoch); err == nil {
			overtaken(fmt.Errorf("%w: node %s was lost before it had the state of cell %s", fault.ErrUnavailable, m.to, m.entry.key))
		}
	}()
	p := &push{cells: m.cells, key: m.entry.key, to: m.to, transfer: m.id, told: func(sent int64) { m.set(func(s *stage) { s.copied = sent }) }}
	info, err := m.cells.save(ctx, m.entry, c, m.epoch, saving{freeze: true, mirror: p.mirror(ctx), written: p.ended})
	if err != nil {
		err = m.why(ctx, m.cells.worded(err))
		overtaken(nil)
		p.drop()
		return err
	}
	takenPoint.Hit()
	m.state, m.size = info.ID, info.Size
	if m.held, err = m.cells.checkpoints.Archive.Hold(info.ID); err != nil {
		m.held = func() {}
		p.drop()
		return m.cells.worded(err)
	}
	m.set(func(s *stage) { s.size = info.Size })
	err = p.finish(ctx, info)
	pushedPoint.Hit()
	return m.why(ctx, err)
}

// loseHeart gives a copy up that does not get on, or takes too long, until ctx ends.
func (m *move) loseHeart(ctx context.Context, giveUp context.CancelCauseFunc) {
	look := time.NewTicker(quietFor)
	defer look.Stop()
	for p := (patience{began: m.asked}); ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if now, _ := m.at(); p.isOut(now.copied) {
			giveUp(fmt.Errorf("%w: node %s has %d bytes of the state of cell %s after %s, and keeps room no longer", fault.ErrUnavailable, m.to, now.copied, m.entry.key, time.Since(m.asked).Round(time.Second)))
			return
		}
	}
}
