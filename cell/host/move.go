package host

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// move is a state on its way, out of the cell or into it. It is guarded by the guest's mu.
type move struct {
	// frozen: nothing begins, and nobody sends. From a save's or a restore's beginning to its
	// failure, a restore's success or the thaw.
	frozen bool
	credit int // chunks that may go to the node
	// Of a restore: chunks that have come, the question that waits for one (0: none), and
	// what came with the last.
	chunks   []*wire.Msg
	asked    uint64
	last     bool
	counters *wire.Report
}

// moves reports whether the operation moves a state.
func (op *operation) moves() bool { return op.kind == ring.InSave || op.kind == ring.InRestore }

func moveOperation(m *wire.Msg, kind ring.Kind) *operation {
	return &operation{id: m.Op, kind: kind, parts: [][]byte{nil}}
}

// dispatchMove serves one message about a state.
func (g *guest) dispatchMove(m *wire.Msg) {
	switch b := m.Body.(type) {
	case *wire.Control_Save:
		g.submit(m, moveOperation(m, ring.InSave))
	case *wire.Control_Restore:
		g.submit(m, moveOperation(m, ring.InRestore))
	case *wire.Control_Thaw:
		g.thaw(m)
	case *wire.Control_Chunk:
		g.supply(m, b.Chunk)
	case *wire.Control_More:
		g.more(int(b.More.Chunks))
	}
}

// unfit says, under mu, why an operation that moves a state cannot be had.
func (g *guest) unfit(op *operation) *cell.Error {
	switch {
	case !op.moves():
		return nil
	case g.move.frozen:
		return cell.Errorf(cell.Invalid, "the cell is frozen already: thaw it first")
	case op.kind == ring.InRestore && (g.ran || g.current != nil || len(g.queue)+len(g.inbox.values) > 0):
		return cell.Errorf(cell.Invalid, "something has run in this cell, or was sent to it: a state is for a fresh one")
	}
	return nil
}

// ---- out -------------------------------------------------------------------------------------

// chunk forwards a piece of the state when there is credit for it.
func (g *guest) chunk(f ring.Frame) error {
	g.mu.Lock()
	op := g.current
	g.mu.Unlock()
	if op == nil || op.kind != ring.InSave || f.ID != op.id || len(f.Payload) > cell.MaxChunk {
		return fmt.Errorf("%w: %d bytes of state that nobody asked for", ring.ErrProtocol, len(f.Payload))
	}
	c := &wire.Chunk{}
	switch {
	case f.Flags&ring.Part != 0:
		c.Kind = wire.Chunk_CODE_PART
	case f.Flags&ring.Code != 0:
		c.Kind = wire.Chunk_CODE
	}
	g.forward(op, c, f.Payload)
	f.Reuse()
	return nil
}

// forward sends a chunk, unless the operation is on its way out. It may wait for credit, and so
// is not called by the host's reader.
func (g *guest) forward(op *operation, c *wire.Chunk, payload []byte) {
	g.mu.Lock()
	for g.move.credit == 0 && !g.hurried() {
		g.outbox.changed.Wait()
	}
	dropped := g.hurried()
	if !dropped {
		g.move.credit--
	}
	g.mu.Unlock()
	if !dropped {
		g.srv.send(g.id, op.id, &wire.Control_Chunk{Chunk: c}, payload)
	}
}

// saved answers a save with what it was, after the inbox: nothing runs, so that stays as it is.
func (g *guest) saved(op *operation, f ring.Frame) {
	var said struct {
		Python  string
		Objects int64
	}
	if err := (cell.Value{Data: f.Payload}).Decode(&said); err != nil {
		g.fail(op, cell.Errorf(cell.CellGone, "the cell does not say what it saved: %v", err))
		return
	}
	g.mu.Lock()
	values := slices.Clone(g.inbox.values)
	g.mu.Unlock()
	for _, v := range values {
		g.forward(op, &wire.Chunk{Kind: wire.Chunk_INBOX, Type: uint32(v.Type)}, v.Data)
	}
	report := g.report()
	g.mu.Lock()
	op.keep = op.why == nil
	g.mu.Unlock()
	if !op.keep || !g.settle(op) {
		g.fail(op, &cell.Error{})
		return
	}
	g.srv.send(g.id, op.id, &wire.Control_Saved{Saved: &wire.Saved{Python: wire.Text(said.Python, 256),
		Objects: said.Objects, Counters: wire.FromReport(report)}}, nil)
}

// more is the node's credit.
func (g *guest) more(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.move.credit = min(g.move.credit+n, wire.ChunkWindow)
	g.outbox.changed.Broadcast()
}

// thaw lets the cell go on.
func (g *guest) thaw(m *wire.Msg) {
	g.mu.Lock()
	if g.current == nil || !g.current.moves() {
		g.move = move{}
	}
	g.mu.Unlock()
	g.srv.send(g.id, m.Op, &wire.Control_Result{Result: &wire.Result{}}, nil)
	g.advance()
}

// ---- in --------------------------------------------------------------------------------------

// supply takes what the node sends of a state.
func (g *guest) supply(m *wire.Msg, c *wire.Chunk) {
	g.mu.Lock()
	op := g.current
	if op == nil || op.kind != ring.InRestore || op.id != m.Op {
		g.mu.Unlock()
		return // of one that has failed
	}
	var wrong *cell.Error
	switch {
	case c.Last:
		g.move.last, g.move.counters = true, c.Counters
	case c.Kind == wire.Chunk_INBOX:
		wrong = g.refill(cell.Value{Type: cell.ContentType(c.Type), Data: m.Payload})
	case len(g.move.chunks) >= wire.ChunkWindow:
		wrong = cell.Errorf(cell.Invalid, "more than %d chunks of the state were sent at once", wire.ChunkWindow)
	default:
		g.move.chunks = append(g.move.chunks, m)
	}
	g.mu.Unlock()
	if wrong != nil {
		g.interrupt(op, wrong, g.srv.killGrace)
		return
	}
	if c.Kind == wire.Chunk_INBOX && !c.Last {
		g.srv.send(g.id, op.id, &wire.Control_More{More: &wire.More{Chunks: 1}}, nil)
	}
	if err := g.hand(op); err != nil {
		g.end(cell.Crashed, err.Error())
	}
}

// refill puts, under mu, a value back into the inbox.
func (g *guest) refill(v cell.Value) *cell.Error {
	switch {
	case len(g.inbox.values) > g.inbox.items: // one may have been recalled
		return cell.Errorf(cell.Invalid, "the state's inbox has more than the %d items that this cell may have", g.inbox.items)
	case len(v.Data) > g.limits.MessageBytes || g.inbox.held+len(v.Data) > g.inbox.bytes+g.limits.MessageBytes:
		return cell.Errorf(cell.Invalid, "the state's inbox has more bytes than this cell's limits permit")
	}
	g.inbox.values = append(g.inbox.values, v)
	g.inbox.held += len(v.Data)
	return nil
}

// askState is the cell's question for the next chunk.
func (g *guest) askState(f ring.Frame) error {
	g.mu.Lock()
	op := g.current
	if op == nil || op.kind != ring.InRestore || g.move.asked != 0 {
		over := g.refusalIsFinal()
		g.mu.Unlock()
		if over {
			return nil
		}
		return fmt.Errorf("%w: a question for a state that nobody sends", ring.ErrProtocol)
	}
	g.move.asked = f.ID
	g.mu.Unlock()
	return g.hand(op)
}

// hand answers the cell's question if there is what it asks for.
func (g *guest) hand(op *operation) error {
	g.mu.Lock()
	id := g.move.asked
	if id == 0 || (len(g.move.chunks) == 0 && !g.move.last) {
		g.mu.Unlock()
		return nil
	}
	g.move.asked = 0
	n := together(g.move.chunks)
	chunks := g.move.chunks[:n]
	g.move.chunks = g.move.chunks[n:]
	g.mu.Unlock()
	if n > 0 {
		g.srv.send(g.id, op.id, &wire.Control_More{More: &wire.More{Chunks: uint32(n)}}, nil)
	}
	switch n {
	case 0:
		return g.answer(id, ring.None, nil)
	case 1:
		return g.answerAnd(id, chunkFlags(chunks[0].GetChunk().GetKind()), chunks[0].Payload, chunks[0].Release)
	}
	return g.answer(id, ring.Raw, bundle(chunks))
}

// bundled is how many bytes of chunks are an answer together: those of a small state's functions, each of which would
// be a question.
const bundled = 32 << 10

// together is how many of the chunks that wait are one answer, at least one if there is any.
func together(waiting []*wire.Msg) (n int) {
	for bytes := 0; n < len(waiting); n++ {
		if bytes += len(waiting[n].Payload); n > 0 && bytes > bundled {
			break
		}
	}
	return n
}

// bundle is several chunks as one answer, each behind its length and its flags.
func bundle(chunks []*wire.Msg) (b []byte) {
	for _, m := range chunks {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Payload)))
		b = append(b, byte(chunkFlags(m.GetChunk().GetKind())))
		b = append(b, m.Payload...)
		m.Release()
	}
	return b
}

func chunkFlags(k wire.Chunk_Kind) ring.Flags {
	switch k {
	case wire.Chunk_CODE_PART:
		return ring.Code | ring.Part
	case wire.Chunk_CODE:
		return ring.Code
	default:
		return 0
	}
}

// resume has the counters go on where those of the state were. It is called before the restore
// is answered.
func (g *guest) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.move.counters
	g.count.Output += max(0, r.GetOutput())
	g.count.Posts += r.GetPosts()
	g.count.Logs += r.GetLogs()
	g.count.LogsLost += r.GetLogsLost()
	g.count.Metrics += r.GetMetrics()
	g.count.Requests += r.GetRequests()
	g.count.Denials += r.GetDenials()
	g.budget.carry(time.Duration(max(0, r.GetCpuNs())))
}
