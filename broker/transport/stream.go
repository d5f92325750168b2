package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// streamBuffer is how much a Stream reads ahead, at most. It holds a sealed frame.
const streamBuffer = 16<<10 + 512

// Stream is a Transport over whatever else reads and writes: a connection, a pipe,
// a virtual machine's serial port. A goroutine of its own reads ahead.
type Stream struct {
	rw   io.ReadWriteCloser
	done chan struct{} // closed when the goroutine has ended

	closing  sync.Once
	closeErr error

	mu      sync.Mutex
	changed sync.Cond
	buf     [streamBuffer]byte // circular: from start, used bytes are unread
	start   int
	used    int
	end     error // follows them
	closed  bool
}

var _ Transport = (*Stream)(nil)

// NewStream takes rw over. One goroutine reads rw and another writes it, at the
// same time; its Close must end a Read and a Write under way, as those of package
// net and of pollable files do.
func NewStream(rw io.ReadWriteCloser) *Stream {
	s := &Stream{rw: rw, done: make(chan struct{})}
	s.changed.L = &s.mu
	go s.readAhead()
	return s
}

func (s *Stream) readAhead() {
	defer close(s.done)
	for {
		free := s.free()
		if free == nil {
			return
		}
		n, err := s.rw.Read(free)
		s.mu.Lock()
		s.used += n
		if s.end == nil { // a Write may have met it
			s.end = err
		}
		s.changed.Broadcast()
		s.mu.Unlock()
	}
}

// free waits for room, and returns it: only the goroutine touches that. It is nil
// when nothing more is to be read.
func (s *Stream) free() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.used == len(s.buf) && !s.closed {
		s.changed.Wait()
	}
	if s.end != nil || s.closed {
		return nil
	}
	from := (s.start + s.used) % len(s.buf)
	return s.buf[from:min(len(s.buf), from+len(s.buf)-s.used)]
}

// TryRead takes what was read ahead.
func (s *Stream) TryRead(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, os.ErrClosed
	case s.used > 0:
		return s.take(p), nil
	case s.end != nil && !errors.Is(s.end, io.EOF):
		return 0, fmt.Errorf("transport: read: %w", s.end)
	}
	return 0, s.end
}

// take is called with mu held.
func (s *Stream) take(p []byte) (n int) {
	for s.used > 0 && n < len(p) {
		m := copy(p[n:], s.buf[s.start:min(len(s.buf), s.start+s.used)])
		s.start, s.used, n = (s.start+m)%len(s.buf), s.used-m, n+m
	}
	s.changed.Broadcast()
	return n
}

// Await waits for the goroutine to have read.
func (s *Stream) Await() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.used == 0 && s.end == nil && !s.closed {
		s.changed.Wait()
	}
}

// Write writes all of p.
func (s *Stream) Write(p []byte) error {
	_, err := s.rw.Write(p)
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	if s.end == nil {
		s.end = io.EOF
		s.changed.Broadcast()
	}
	return fmt.Errorf("transport: write: %w", err)
}

// TryWrite writes nothing: what a Stream is made of does not tell how much room it has.
func (s *Stream) TryWrite([]byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, os.ErrClosed
	}
	return 0, nil
}

// Close returns when the goroutine has ended.
func (s *Stream) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.changed.Broadcast()
		s.mu.Unlock()
		if err := s.rw.Close(); err != nil {
			s.closeErr = fmt.Errorf("transport: close: %w", err)
		}
		<-s.done
	})
	return s.closeErr
}
