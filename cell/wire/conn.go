package wire

import (
	"context"
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
	// ErrStalled: the far side has not taken in time what was sent to it. The connection is of no
	// more use.
	ErrStalled = errors.New("wire: the far side does not read")
	// ErrTooLarge: the message to be sent exceeds a bound; nothing was sent.
	ErrTooLarge = errors.New("wire: message too large")
)

// Msg is one message. Its payload is the sender's again after Send, and belongs to the
// receiver after Recv.
type Msg struct {
	*Control
	Payload []byte

	whole *[]byte // a large one has the memory it came in
}

// Release gives the payload's memory back, for one that comes later: who has received the message
// looks at it no more. It need not be called.
func (m *Msg) Release() {
	m.Payload = nil
	if m.whole != nil {
		large.Put(m.whole)
		m.whole = nil
	}
}

// Conn moves messages in order, whole, both ways. Any number of goroutines may
// send; one at a time receives.
type Conn interface {
	// Send may wait for a peer that does not read: on the side that dialed with patience, only while
	// much waits already.
	Send(m *Msg) error
	// SendWithin is Send that waits no longer than ctx; then nothing was sent.
	SendWithin(ctx context.Context, m *Msg) error
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
	t        transport.Transport
	patience time.Duration // see Dial
	receive  receiver
	reading  sync.Mutex // held while keys are used to receive

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
//
// A host that takes longer than patience for one write, 64 KiB or a little more, ends the
// connection with ErrStalled. With a patience of 0 it is waited for.
func Dial(t transport.Transport, cfg seal.Config, patience time.Duration) (Conn, error) {
	return handshake(t, cfg, patience, seal.Connect)
}

// Accept is Dial for the host's side, which waits for its node.
func Accept(t transport.Transport, cfg seal.Config) (Conn, error) {
	return handshake(t, cfg, 0, seal.Accept)
}

func handshake(t transport.Transport, cfg seal.Config, patience time.Duration, shake func(io.ReadWriter, seal.Config) (*seal.Session, error)) (Conn, error) {
	s, err := shake(waiting{t}, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wire: %w", err), t.Close())
	}
	c := &conn{t: t, patience: patience, out: s.Out, receive: receiver{t: t, in: s.In}}
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

func (c *conn) Recv() (*Msg, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	m, err := c.receive.next(true)
	return m, c.why(err)
}

func (c *conn) TryRecv() (*Msg, error) {
	if !c.reading.TryLock() {
		return nil, nil
	}
	defer c.reading.Unlock()
	m, err := c.receive.next(false)
	return m, c.why(err)
}

// why is the reason for the connection's end, where err is that it has ended.
func (c *conn) why(err error) error {
	if !errors.Is(err, ErrClosed) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, ErrStalled) {
		return c.err
	}
	return err
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
	out, err := appendHead(buf, m)
	if err != nil {
		return buf, err
	}
	return append(out, m.Payload...), nil
}

// appendHead appends what comes before the payload.
func appendHead(buf []byte, m *Msg) (out []byte, err error) {
	ok := false
	if len(m.Payload) <= MaxPayload {
		out, ok = appendPost(append(buf, 0, 0, 0, 0), m.Control)
	}
	if !ok {
		if out, err = appendControl(buf, m); err != nil {
			return buf, err
		}
	}
	binary.LittleEndian.PutUint32(out[len(buf):], uint32(len(out)-len(buf)-lengthSize+len(m.Payload)))
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
func RecvSoon(c Conn, s *spin.Spinner, patience time.Duration, others spin.Crowd) (m *Msg, err error) {
	_, err = s.UntilYielding(patience, 1, others, func() (bool, error) {
		m, err = c.TryRecv()
		return m != nil, err
	})
	return m, err
}
