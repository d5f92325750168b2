package ring

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// bell is the eventfd the cell rings. Several goroutines may wait for it at the
// same time, for space or for frames; whoever reads the eventfd leaves word for
// all, because it cannot know whom the ring was for. Word left for oneself costs
// one look in vain.
type bell struct {
	f      *os.File
	fd     int
	reader chan struct{} // held by the goroutine that reads f
	// One waiter each: a sender, Serve between frames, a reader within a frame.
	space, frames, more chan struct{}
}

func newBell() (*bell, error) {
	f, fd, err := eventFile()
	if err != nil {
		return nil, err
	}
	return &bell{f: f, fd: fd, reader: make(chan struct{}, 1),
		space: make(chan struct{}, 1), frames: make(chan struct{}, 1), more: make(chan struct{}, 1)}, nil
}

// wait returns after a ring since the last wait of the same kind, perhaps
// spuriously, or with ErrClosed.
func (b *bell) wait(own chan struct{}) error {
	select {
	case <-own:
		return nil
	case b.reader <- struct{}{}:
	}
	defer func() { <-b.reader }()
	select { // the last reader may have left word between our check and now
	case <-own:
		return nil
	default:
	}
	var count [8]byte
	_, err := b.f.Read(count[:])
	tell(b.space)
	tell(b.frames)
	tell(b.more)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
		return ErrClosed
	}
	if err != nil {
		return fmt.Errorf("ring: wait for the bell: %w", err)
	}
	return nil
}

func (b *bell) waitSpace() error  { return b.wait(b.space) }
func (b *bell) waitFrames() error { return b.wait(b.frames) }

func (b *bell) waitMore() error { return b.wait(b.more) }

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ring wakes a waiter as the cell would.
func (b *bell) ring() {
	one := [8]byte{1}
	_, _ = unix.Write(b.fd, one[:]) // full means it rings already
}

// stop makes every wait, now and later, return. The descriptor stays open: the
// cell may still write to its number.
func (b *bell) stop() {
	_ = b.f.SetReadDeadline(time.Unix(1, 0))
}

func (b *bell) close() error { return b.f.Close() }
