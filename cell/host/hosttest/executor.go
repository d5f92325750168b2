// Package hosttest is an executor without Python, for tests of the host and of
// what speaks to hosts. Its workers play the cell's end of the ring in Go and
// understand a few commands, one a line, in place of source:
//
//	post JSON       append to the outbox
//	flood N         post the numbers below N
//	log TEXT        a log record
//	recv SECONDS    receive, and post what came (null for nothing)
//	miss            receive, and give up when interrupted, but only after a value has come
//	measure N VALUE a measurement
//	request C A     request capability C, action A, and post the answer
//	pester N        receive N times without waiting, and read no answer
//	hoard N         receive N times, waiting for ever, and read no answer
//	beg N BYTES     request N times, with that much each, and read no answer
//	deny C A        report a refusal
//	raise TEXT      fail with a guest error
//	exceed KIND     fail with an error of another kind, as MemoryExceeded
//	exceed KIND C   the same, which the guest raises itself, as an exception of class C
//	spin            use processor time until interrupted
//	deaf            the same, not heeding interrupts
//	wedge           the same, not heeding Kill either
//	exit TEXT       the worker dies, for the reason TEXT
//	lie             break the ring's protocol
//	crash           the whole host process exits with status 9
//
// A call answers its arguments.
package hosttest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/ring/ringtest"
)

// Executor starts fake workers. The zero Executor works.
type Executor struct {
	// FailStarts is how many of the next starts fail.
	FailStarts atomic.Int32
	// SaveHeeds is for how many nanoseconds a save heeds no interrupt, once it has sent a chunk.
	SaveHeeds atomic.Int64
	// Started counts workers, Live those not ended.
	Started, Live atomic.Int32

	held    sync.RWMutex // for writing while starts wait
	mu      sync.Mutex
	workers []*Worker
}

// Hold has starts wait for Release.
func (e *Executor) Hold() { e.held.Lock() }

// Release ends Hold.
func (e *Executor) Release() { e.held.Unlock() }

var _ host.Executor = (*Executor)(nil)

// Start begins a worker.
func (e *Executor) Start(r *ring.Region) (host.Worker, error) {
	e.held.RLock()
	defer e.held.RUnlock()
	if e.FailStarts.Add(-1) >= 0 {
		return nil, errors.New("hosttest: start refused")
	}
	p, err := ringtest.Open(r)
	if err != nil {
		return nil, err
	}
	w := &Worker{peer: p, region: r, heeds: &e.SaveHeeds, killed: make(chan struct{})}
	life, over := context.WithCancel(context.Background())
	w.life = life
	e.Started.Add(1)
	e.Live.Add(1)
	e.mu.Lock()
	e.workers = append(e.workers, w)
	e.mu.Unlock()
	go func() {
		w.run()
		e.Live.Add(-1)
		over()
	}()
	return w, nil
}

// Close frees wedged workers too, so that tests leave nothing behind.
func (e *Executor) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.workers {
		w.wedged.Store(false)
		w.Kill()
		<-w.Done()
	}
	return nil
}

// Worker is one fake cell.
type Worker struct {
	peer   *ringtest.Peer
	region *ring.Region
	life   context.Context
	killed chan struct{}
	once   sync.Once
	wedged atomic.Bool
	err    error
	heeds  *atomic.Int64
	gaveUp bool // the operation's last recv

	busySince atomic.Int64 // Unix nanoseconds, 0 while idle
	used      atomic.Int64
}

// Interrupt bumps the control word.
func (w *Worker) Interrupt(op uint64, reason cell.Kind) { w.region.Interrupt(op, uint8(reason)) }

// Kill ends the worker unless it is wedged.
func (w *Worker) Kill() {
	if !w.wedged.Load() {
		w.once.Do(func() { close(w.killed) })
		w.peer.Stop()
	}
}

// CPU is the time spent in spin and its like.
func (w *Worker) CPU() (time.Duration, error) {
	t := w.used.Load()
	if since := w.busySince.Load(); since != 0 {
		t += time.Now().UnixNano() - since
	}
	return time.Duration(t), nil
}

// Done is closed at the worker's end.
func (w *Worker) Done() <-chan struct{} { return w.life.Done() }

// WhenDone has f called at the worker's end.
func (w *Worker) WhenDone(f func()) { context.AfterFunc(w.life, f) }

// Task is this process: the worker is a goroutine.
func (w *Worker) Task() int { return os.Getpid() }

// Err is why, after Done.
func (w *Worker) Err() error { return w.err }

// Stuck reports a wedged worker.
func (w *Worker) Stuck() bool { return w.wedged.Load() }

var errExit = errors.New("hosttest: exit")

func (w *Worker) run() {
	defer func() { _ = w.peer.Close() }()
	if w.peer.Send(ring.OutReady, 0, 0, nil) != nil {
		return
	}
	for {
		f, err := w.peer.Recv()
		if err != nil {
			w.err = errors.New("killed")
			return
		}
		if f.Kind == ring.InClose {
			_ = w.peer.Send(ring.OutEnded, 0, 0, nil)
			return
		}
		if err := w.serve(f); err != nil {
			if w.err == nil {
				w.err = err
			}
			return
		}
	}
}

// serve answers one operation; an error ends the worker.
func (w *Worker) serve(f ring.Frame) error {
	switch f.Kind {
	case ring.InClaim:
		return w.peer.Send(ring.OutResult, 0, f.ID, []byte("null"))
	case ring.InCall:
		b := f.Payload
		t, a := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		return w.peer.Send(ring.OutResult, f.Flags, f.ID, b[12+t:12+t+a])
	case ring.InExec:
		b := f.Payload
		w.gaveUp = false
		skip := 8 + binary.LittleEndian.Uint32(b) + binary.LittleEndian.Uint32(b[4:])
		for line := range strings.Lines(string(b[skip:])) {
			failure, err := w.command(f.ID, strings.TrimSpace(line))
			if err != nil {
				return err
			}
			if failure != nil {
				return w.fail(f.ID, failure)
			}
		}
		return w.peer.Send(ring.OutResult, 0, f.ID, []byte("null"))
	case ring.InSave:
		return w.save(f.ID)
	case ring.InRestore:
		return w.restore(f.ID)
	}
	return nil // a late answer
}

func (w *Worker) fail(op uint64, e *cell.Error) error {
	var flags ring.Flags
	if w.gaveUp {
		flags = ring.None
	}
	return w.peer.Send(ring.OutError, flags, op, body(e))
}

// Chunks is how many chunks a fake state has; each is its number.
const Chunks = 20

func (w *Worker) save(op uint64) error {
	for i := range Chunks {
		if reason := w.peer.Interrupted(op); reason != 0 {
			return w.peer.Send(ring.OutError, 0, op, body(cell.Errorf(cell.Kind(reason), "interrupted")))
		}
		if err := w.peer.Send(ring.OutChunk, 0, op, []byte{byte(i)}); err != nil {
			return err
		}
		if i == 0 {
			select {
			case <-time.After(time.Duration(w.heeds.Load())):
			case <-w.killed:
			}
		}
	}
	return w.peer.Send(ring.OutResult, 0, op, []byte(`{"python":"fake","objects":1}`))
}

// restore posts what a state is made of. A chunk that is "bad" fails it.
func (w *Worker) restore(op uint64) error {
	var all []byte
	for id := op << 8; ; id++ {
		if err := w.peer.Send(ring.OutMore, 0, id, nil); err != nil {
			return err
		}
		f, err := w.peer.Recv()
		if err != nil {
			return err
		}
		if f.Flags&ring.None != 0 {
			break
		}
		for _, c := range chunksIn(f) {
			if string(c.Payload) == "bad" {
				return w.peer.Send(ring.OutError, 0, op, body(cell.Errorf(cell.Invalid, "a bad chunk")))
			}
			if all = append(all, c.Payload...); c.Flags&ring.Code != 0 {
				all = append(all, '!')
			}
		}
	}
	text, _ := json.Marshal(string(all))
	if err := w.peer.Send(ring.OutPost, 0, op, text); err != nil {
		return err
	}
	return w.peer.Send(ring.OutResult, 0, op, []byte("null"))
}

// chunksIn are those of an answer.
func chunksIn(f ring.Frame) (all []ring.Frame) {
	if f.Flags&ring.Raw == 0 {
		return []ring.Frame{f}
	}
	for b := f.Payload; len(b) > 0; {
		n := binary.LittleEndian.Uint32(b)
		all = append(all, ring.Frame{Flags: ring.Flags(b[4]), Payload: b[5 : 5+n]})
		b = b[5+n:]
	}
	return all
}

func body(e *cell.Error) []byte {
	b := []byte{byte(e.Kind)}
	for _, s := range []string{e.Type, e.Message, e.Traceback} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	}
	return append(b, e.Type+e.Message+e.Traceback...)
}

// command runs one line. failure ends the operation, err the worker.
func (w *Worker) command(op uint64, line string) (failure *cell.Error, err error) {
	if reason := w.peer.Interrupted(op); reason != 0 {
		return cell.Errorf(cell.Kind(reason), "interrupted"), nil
	}
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "post":
		return nil, w.peer.Send(ring.OutPost, 0, op, []byte(rest))
	case "flood":
		return w.flood(op, rest)
	case "log", "measure", "deny":
		return nil, w.say(op, word, rest)
	case "recv", "miss":
		return w.receive(op, word, rest)
	case "request":
		return w.request(op, rest)
	case "chunk", "more": // out of place
		kind := map[string]ring.Kind{"chunk": ring.OutChunk, "more": ring.OutMore}[word]
		return nil, w.peer.Send(kind, 0, op, []byte(rest))
	case "pester", "hoard", "beg":
		return nil, w.flooding(word, rest)
	case "exceed":
		return exceeded(rest), nil
	case "raise":
		return &cell.Error{Kind: cell.GuestError, Type: "ValueError", Message: rest, Traceback: "tb"}, nil
	case "spin", "deaf", "wedge":
		return w.spin(op, word)
	case "exit":
		w.err = errors.New(rest)
		return nil, errExit
	case "lie":
		return nil, w.peer.Write([]byte{0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	case "crash":
		os.Exit(9) // a signal to oneself is ignored by the first process of a namespace
	}
	return nil, nil
}

// say is what a guest says beside its posts.
func (w *Worker) say(op uint64, word, rest string) error {
	switch word {
	case "log":
		b := binary.LittleEndian.AppendUint32(nil, 4)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(rest)))
		return w.peer.Send(ring.OutLog, 0, op, append(append(b, "info"...), rest...))
	case "measure":
		name, text, _ := strings.Cut(rest, " ")
		value, _ := strconv.ParseFloat(text, 64)
		b := binary.LittleEndian.AppendUint64(nil, math.Float64bits(value))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(name)))
		return w.peer.Send(ring.OutMetric, 0, op, append(b, name...))
	case "deny":
		capability, action, _ := strings.Cut(rest, " ")
		b := binary.LittleEndian.AppendUint32(nil, uint32(len(capability)))
		return w.peer.Send(ring.OutDenial, 0, op, append(b, capability+action...))
	}
	return nil
}

func exceeded(what string) *cell.Error {
	kind, class, _ := strings.Cut(what, " ")
	for _, k := range cell.Kinds() {
		if k.String() == kind {
			return &cell.Error{Kind: k, Type: class, Message: "it is used up"}
		}
	}
	return nil
}

func (w *Worker) flood(op uint64, count string) (*cell.Error, error) {
	n, err := strconv.Atoi(count)
	if err != nil {
		return cell.Errorf(cell.GuestError, "flood: %v", err), nil
	}
	for i := range n {
		if reason := w.peer.Interrupted(op); reason != 0 {
			return cell.Errorf(cell.Kind(reason), "interrupted"), nil
		}
		if err := w.peer.Send(ring.OutPost, 0, op, strconv.AppendInt(nil, int64(i), 10)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// spin looks every half millisecond whether it is to end.
func (w *Worker) spin(op uint64, how string) (*cell.Error, error) {
	w.wedged.Store(how == "wedge")
	w.busySince.Store(time.Now().UnixNano())
	defer func() { w.used.Add(time.Now().UnixNano() - w.busySince.Swap(0)) }()
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for {
		select {
		case <-w.killed:
			return nil, errors.New("killed")
		case <-tick.C:
		}
		if reason := w.peer.Interrupted(op); reason != 0 && how == "spin" {
			return cell.Errorf(cell.Kind(reason), "interrupted"), nil
		}
	}
}
