package wire

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/cell"
)

// Bounds of one message.
const (
	MaxControl = 256 << 10
	MaxPayload = cell.MaxMessageBytes + 1<<20
)

// queueBytes is how much may wait for a slow reader before Send waits too.
const queueBytes = 4 << 20

var (
	// ErrClosed: the connection ended, by either side.
	ErrClosed = errors.New("wire: connection closed")
	// ErrFormat: what came is not a message. The connection is of no more use.
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

// Conn moves messages in order, whole, both ways.
type Conn interface {
	Send(m *Msg) error
	Recv() (*Msg, error)
	Close() error
}

// stream is a Conn over one stream socket.
type stream struct {
	f   *os.File
	dec *decoder

	mu      sync.Mutex
	room    sync.Cond
	queue   []byte // encoded, not yet given to the kernel
	spare   []byte // the buffer written last, to be filled again
	writing bool
	err     error
}

var _ Conn = (*stream)(nil)

// NewConn takes the stream socket f over.
func NewConn(f *os.File) Conn {
	s := &stream{f: f, dec: newDecoder(f)}
	s.room.L = &s.mu
	return s
}

// Pair returns two connected stream sockets: one to build a Conn on, one to be
// inherited by another process as a blocking or non-blocking file of its own.
func Pair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("wire: create socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "host"), os.NewFile(uintptr(fds[1]), "node"), nil
}

// Inherited returns the Conn on descriptor fd, given by the parent process.
func Inherited(fd int) (Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("wire: use inherited descriptor %d: %w", fd, err)
	}
	unix.CloseOnExec(fd)
	return NewConn(os.NewFile(uintptr(fd), "node")), nil
}

// Send queues m and, unless another Send is writing, writes all that is queued.
func (s *stream) Send(m *Msg) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.err == nil && len(s.queue) > queueBytes {
		s.room.Wait()
	}
	if s.err != nil {
		return s.err
	}
	queue, err := Append(s.queue, m)
	if err != nil {
		return err
	}
	s.queue = queue
	if s.writing {
		return nil // the writer takes it along
	}
	return s.flush()
}

// flush writes until the queue is empty. It is called with mu held and gives it
// up during each write.
func (s *stream) flush() error {
	s.writing = true
	for s.err == nil && len(s.queue) > 0 {
		buf := s.queue
		s.queue = s.spare[:0]
		s.mu.Unlock()
		_, err := s.f.Write(buf)
		s.mu.Lock()
		s.spare = recycle(buf)
		if err != nil {
			s.err = fmt.Errorf("%w: %w", ErrClosed, err)
		}
		s.room.Broadcast()
	}
	s.writing = false
	return s.err
}

// recycle keeps a buffer for the next batch unless one large message grew it.
func recycle(buf []byte) []byte {
	if cap(buf) > 256<<10 {
		return nil
	}
	return buf[:0]
}

func (s *stream) Recv() (*Msg, error) { return s.dec.next() }

func (s *stream) Close() error {
	s.mu.Lock()
	if s.err == nil {
		s.err = ErrClosed
	}
	s.room.Broadcast()
	s.mu.Unlock()
	if err := s.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("wire: close: %w", err)
	}
	return nil
}

// Append adds m's encoding to buf: u32 length of the rest, uvarint length of
// the control message, the control message, the payload.
func Append(buf []byte, m *Msg) ([]byte, error) {
	n := proto.Size(m.Control)
	if n > MaxControl || len(m.Payload) > MaxPayload {
		return buf, fmt.Errorf("%w: control %d of %d bytes, payload %d of %d",
			ErrTooLarge, n, MaxControl, len(m.Payload), MaxPayload)
	}
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0)
	buf = appendUvarint(buf, uint64(n))
	out, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buf, m.Control)
	if err != nil {
		return buf[:start], fmt.Errorf("wire: encode: %w", err)
	}
	out = append(out, m.Payload...)
	putLength(out[start:], len(out)-start-4)
	return out, nil
}
