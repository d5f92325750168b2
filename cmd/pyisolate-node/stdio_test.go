package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// full takes so many bytes.
type full struct {
	left  int
	asked int // how often
}

var errFull = errors.New("no room")

func (f *full) Write(p []byte) (int, error) {
	f.asked++
	n := min(len(p), f.left)
	f.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// The first write that fails is the last, ends the work, and no end is a good one after it.
func TestOutputThatIsFull(t *testing.T) {
	to := &full{left: 6}
	working, out := newOutput(t.Context(), to)
	if _, err := out.Write([]byte("four")); err != nil || working.Err() != nil || out.checked(nil, nil) != nil {
		t.Fatalf("with room: %v, %v", err, working.Err())
	}
	if n, err := out.Write([]byte("four")); n != 2 || !errors.Is(err, errFull) || working.Err() == nil {
		t.Errorf("%d bytes, %v; the work: %v", n, err, working.Err())
	}
	to.left = 100
	if n, err := out.Write([]byte("more")); n != 0 || !errors.Is(err, errFull) || to.asked != 2 {
		t.Errorf("behind the gap: %d bytes, %v", n, err)
	}
	var said strings.Builder
	if err := out.checked(errors.New("cancelled"), &said); !errors.Is(err, exitStatus(statusInternal)) || !strings.Contains(said.String(), "no room") {
		t.Errorf("%v, %q", err, said.String())
	}
}

// Who takes nothing holds up an interrupt for a moment, once; what can be printed still is.
func TestOutputAfterAnInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		interrupt()
		from, to := io.Pipe()
		defer func() { _ = from.Close() }()
		_, out := newOutput(ctx, to)
		go func() { _, _ = io.ReadFull(from, make([]byte, 4)) }()
		if n, err := out.Write([]byte("last")); n != 4 || err != nil {
			t.Errorf("with a reader: %d bytes, %v", n, err)
		}
		begun := time.Now()
		for range 2 {
			if _, err := out.Write([]byte("more")); !errors.Is(err, errInterrupted) {
				t.Errorf("without: %v", err)
			}
		}
		if took := time.Since(begun); took != lastWrite {
			t.Errorf("given up after %s", took)
		}
		if err := out.checked(nil, nil); !errors.Is(err, exitStatus(statusInterrupt)) {
			t.Errorf("it ends with %v", err)
		}
	})
}
