package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/broker/seal"
	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/spin"
)

// Bounds of one message.
const (
	MaxControl = 256 << 10
	MaxPayload = cell.MaxMessageBytes + 1<<20
)

// queueBytes is how much may wait for a slow reader before Send waits too.
const queueBytes = 4 << 20

// framePlaintext is the most that one frame carries: as many messages as wait, or
// a part of a large one.
const framePlaintext = 16 << 10

var (
	// ErrClosed: the connection ended, by either side.
	ErrClosed = errors.New("wire: connection closed")
	// ErrFormat: what came is not the next message. The connection is of no more use.
	ErrFormat = errors.New("wire: malformed message")
	// ErrTooLarge: the message to be sent exceeds a bound; nothing was sent.
	ErrTooLarge = errors.New("wire: message too large")
)

// Msg is one message. Payload is not copied by Send, and belongs to the
// receiver after Recv.
type Msg struct {
	*Control
	Payload []byte
}

// Conn moves messages in order, whole, both ways. Any number of goroutines may
// send; one at a time receives.
type Conn interface {
	// Send may wait for a peer that does not read.
	Send(m *Msg) error
	// Queue is Send for one of several: it leaves at the next Send or Flush, or when
	// many wait.
	Queue(m *Msg) error
	// Flush sends what is queued.
	Flush() error
	// Recv waits for the next message. Once it or TryRecv has failed, both fail with
	// that error for ever.
	Recv() (*Msg, error)
	// TryRecv returns the next message, or nil when none is there or somebody else is
	// receiving.
	TryRecv() (*Msg, error)
	// Await waits until there may be a message. On a socket others may receive meanwhile.
	Await()
	// Counts is what has gone over it.
	Counts() Counts
	// Close ends all calls, those under way included.
	Close() error
}

// conn is a Conn: messages in sealed frames on a transport.
type conn struct {
	t       transport.Transport
	receive receiver
	reading sync.Mutex // held while keys are used to receive

	mu      sync.Mutex
	changed sync.Cond
	queue   *[]byte // encoded, not yet sealed; nil when there is nothing
	writing bool
	err     error
	out     *seal.Sealer
	sent    counter
}

var _ Conn = (*conn)(nil)

// Dial makes a connection on t as the node's side. cfg.Secret is used up. It
// returns when the host has proved itself, or an error, after which t is closed;
// whoever closes t meanwhile ends it.
func Dial(t transport.Transport, cfg seal.Config) (Conn, error) {
	return handshake(t, cfg, seal.Connect)
}

// Accept is Dial for the host's side.
func Accept(t transport.Transport, cfg seal.Config) (Conn, error) {
	return handshake(t, cfg, seal.Accept)
}

func handshake(t transport.Transport, cfg seal.Config, shake func(io.ReadWriter, seal.Config) (*seal.Session, error)) (Conn, error) {
	s, err := shake(waiting{t}, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wire: %w", err), t.Close())
	}
	c := &conn{t: t, out: s.Out, receive: receiver{t: t, in: s.In}}
	c.changed.L = &c.mu
	return c, nil
}

// waiting reads and writes a transport as handshakes do, one step at a time.
type waiting struct{ transport.Transport }

func (w waiting) Read(p []byte) (int, error) {
	for {
		if n, err := w.TryRead(p); n > 0 || err != nil {
			return n, err
		}
		w.Await()
	}
}

func (w waiting) Write(p []byte) (int, error) {
	if err := w.Transport.Write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// buffers are those of connections that have something to say: an idle one keeps
// none.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, seal.Overhead+framePlaintext)) }}

// batchBytes is how much may be queued before it is sent without being asked for.
const batchBytes = 4 * framePlaintext

// Send queues m and, unless another Send is writing, writes all that is queued.
func (c *conn) Send(m *Msg) error { return c.add(m, 0) }

func (c *conn) Queue(m *Msg) error { return c.add(m, batchBytes) }

func (c *conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.writing || c.queue == nil {
		return c.err // a writer takes everything along
	}
	return c.flush()
}

// queued is, under mu, how many bytes wait.
func (c *conn) queued() int {
	if c.queue == nil {
		return 0
	}
	return len(*c.queue)
}

// add queues m, and has the queue written when it is longer than most.
func (c *conn) add(m *Msg, most int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && c.queued() > queueBytes {
		c.changed.Wait()
	}
	if c.err != nil {
		return c.err
	}
	if c.queue == nil {
		c.queue = buffers.Get().(*[]byte)
	}
	queue, err := Append(*c.queue, m)
	if err != nil {
		return err
	}
	*c.queue = queue
	if c.writing || len(queue) <= most {
		return nil
	}
	return c.flush()
}

// flush writes until the queue is empty. It is called with mu held and gives it
// up during each write.
func (c *conn) flush() error {
	c.writing = true
	sealed := buffers.Get().(*[]byte)
	for c.err == nil && c.queued() > 0 {
		plain := c.queue
		c.queue = nil
		c.mu.Unlock()
		err := c.write(*plain, sealed)
		recycle(plain)
		c.mu.Lock()
		if err != nil && c.err == nil {
			c.err = fmt.Errorf("%w: %w", ErrClosed, err)
		}
		c.changed.Broadcast()
	}
	recycle(sealed)
	c.writing = false
	c.changed.Broadcast()
	return c.err
}

// write seals plain into frames and writes them, several at once.
func (c *conn) write(plain []byte, sealed *[]byte) (err error) {
	for len(plain) > 0 {
		out, frames := (*sealed)[:0], 0
		for len(plain) > 0 && len(out) < 4*framePlaintext {
			n := min(len(plain), framePlaintext)
			if out, err = c.out.Seal(out, plain[:n]); err != nil {
				return err
			}
			plain = plain[n:]
			frames++
		}
		*sealed = out
		if err := c.t.Write(out); err != nil {
			return err
		}
		c.sent.add(frames, len(out))
	}
	return nil
}

// recycle gives a buffer back, unless a large message grew it.
func recycle(buf *[]byte) {
	if cap(*buf) <= 256<<10 {
		*buf = (*buf)[:0]
		buffers.Put(buf)
	}
}

func (c *conn) Recv() (*Msg, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	return c.receive.next(true)
}

func (c *conn) TryRecv() (*Msg, error) {
	if !c.reading.TryLock() {
		return nil, nil
	}
	defer c.reading.Unlock()
	return c.receive.next(false)
}

func (c *conn) Await() {
	c.reading.Lock()
	if c.receive.has() { // read by somebody who left it here
		c.reading.Unlock()
		return
	}
	c.receive.idle()
	if _, ok := c.t.(*transport.Socket); ok { // a ring has one user at a time
		c.reading.Unlock()
		c.t.Await()
		return
	}
	defer c.reading.Unlock()
	c.t.Await()
}

// Close destroys the keys when the calls under way have ended.
func (c *conn) Close() error {
	c.mu.Lock()
	if c.err == nil {
		c.err = ErrClosed
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	err := c.t.Close()
	c.mu.Lock()
	for c.writing {
		c.changed.Wait()
	}
	c.out.Destroy()
	c.mu.Unlock()
	c.reading.Lock()
	c.receive.fail(ErrClosed) // what has been opened and not taken is lost, as what has not
	c.receive.in.Destroy()
	c.reading.Unlock()
	if err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	return nil
}

// Append adds m's encoding to buf: u32 length of the rest, uvarint length of
// the control message, the control message, the payload.
func Append(buf []byte, m *Msg) ([]byte, error) {
	start := len(buf)
	out, ok := buf, false
	if len(m.Payload) <= MaxPayload {
		out, ok = appendPost(append(buf, 0, 0, 0, 0), m.Control)
	}
	if !ok {
		var err error
		if out, err = appendControl(buf, m); err != nil {
			return buf, err
		}
	}
	out = append(out, m.Payload...)
	binary.LittleEndian.PutUint32(out[start:], uint32(len(out)-start-lengthSize))
	return out, nil
}

// appendControl appends room for the length and any control message.
func appendControl(buf []byte, m *Msg) ([]byte, error) {
	n := proto.Size(m.Control)
	if n > MaxControl || len(m.Payload) > MaxPayload {
		return nil, fmt.Errorf("%w: control %d of %d bytes, payload %d of %d",
			ErrTooLarge, n, MaxControl, len(m.Payload), MaxPayload)
	}
	buf = binary.AppendUvarint(append(buf, 0, 0, 0, 0), uint64(n))
	out, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buf, m.Control)
	if err != nil {
		return nil, fmt.Errorf("wire: encode: %w", err)
	}
	return out, nil
}

// RecvSoon looks for a message for about the given time. It returns nil when none
// has come.
func RecvSoon(c Conn, s *spin.Spinner, patience time.Duration) (m *Msg, err error) {
	_, err = s.UntilYielding(patience, 1, func() (bool, error) {
		m, err = c.TryRecv()
		return m != nil, err
	})
	return m, err
}
