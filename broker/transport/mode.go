package transport

import (
	"fmt"
	"os"
)

// Mode says how a socket is used.
type Mode string

// The modes. The zero Mode is ModeAuto.
const (
	// ModeAuto is what was fastest when measured, and works on every kernel: the
	// socket. What a ring can save is system calls, but a Write of many messages is
	// one call already, and so is the read that takes them (docs/adr/0011).
	ModeAuto Mode = "auto"
	// ModeUring is Ring, or an error where io_uring is refused.
	ModeUring Mode = "uring"
	// ModeSocket is Polled.
	ModeSocket Mode = "socket"
)

// ParseMode reads a Mode as it is written on a command line.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case ModeAuto, ModeUring, ModeSocket:
		return m, nil
	}
	return "", fmt.Errorf("transport: unknown mode %q: use auto, uring or socket", s)
}

// Open makes a transport of the connected stream socket f, which it takes over
// unless it returns an error. That is ErrNoUring when ModeUring cannot be had.
func Open(f *os.File, mode Mode) (Transport, error) { return open(f, mode, ioUringSetup) }

func open(f *os.File, mode Mode, setup setupFunc) (Transport, error) {
	if mode == "" {
		mode = ModeAuto
	}
	if _, err := ParseMode(string(mode)); err != nil {
		return nil, err
	}
	if mode != ModeUring {
		return transportOf(NewPolled(f))
	}
	return transportOf(newRing(f, setup, recvMultishot))
}

// transportOf has no Transport that holds a nil pointer.
func transportOf[T Transport](t T, err error) (Transport, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}
