package transport

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

func TestStreamOverPipe(t *testing.T) {
	x, y := net.Pipe() // stores nothing
	a, b := NewStream(x), NewStream(y)
	go func() { _ = a.Write([]byte(strings.Repeat("0123456789", 10_000))) }()
	got := make([]byte, 100_000)
	if err := readFull(b, got); err != nil || string(got) != strings.Repeat("0123456789", 10_000) {
		t.Errorf("other bytes, %v", err)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

// faulty gives its last bytes together with an error, and fails to close.
type faulty struct{ err error }

func (f faulty) Read(p []byte) (int, error)  { return copy(p, "last"), f.err }
func (f faulty) Write(p []byte) (int, error) { return len(p) / 2, f.err }
func (f faulty) Close() error                { return f.err }

func TestStreamErrors(t *testing.T) {
	broken := errors.New("broken")
	s := NewStream(faulty{broken})
	got := make([]byte, 4)
	if err := readFull(s, got); err != nil || string(got) != "last" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := readFull(s, got); !errors.Is(err, broken) {
		t.Errorf("then %v", err)
	}
	if err := s.Write(got); !errors.Is(err, broken) {
		t.Errorf("write: %v", err)
	}
	for range 2 {
		if err := s.Close(); !errors.Is(err, broken) {
			t.Errorf("close: %v", err)
		}
	}
}

// One buffer is all that is read ahead.
func TestStreamReadsOneBufferAhead(t *testing.T) {
	r, w := io.Pipe()
	s := NewStream(struct {
		io.Reader
		io.WriteCloser
	}{r, w})
	defer func() { _ = s.Close() }()
	taken := make(chan int)
	go func() {
		n, _ := w.Write(make([]byte, 3*streamBuffer)) // ends with the stream
		taken <- n
	}()
	s.Await()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := <-taken; n > streamBuffer {
		t.Errorf("%d bytes were read ahead, the buffer has %d", n, streamBuffer)
	}
}
