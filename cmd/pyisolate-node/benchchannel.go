package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/seal"
	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/internal/spin"
)

// farEnd is a process at the other end of a socket, in the place of a host.
type farEnd struct {
	conn  wire.Conn    // sealed, or
	plain net.Conn     // to compare it with
	end   func() error // of the process, after the connection's
}

func (l *farEnd) close() error {
	if l.conn != nil {
		return errors.Join(l.conn.Close(), l.end())
	}
	return errors.Join(l.plain.Close(), l.end())
}

// The descriptors of bench-channel: those of a host.
const (
	farSocketFD = 3
	farSecretFD = 4
)

// dialFar starts bench-channel and speaks to it over the transport of the mode; no
// mode is a plain socket.
func dialFar(ctx context.Context, mode transport.Mode, args ...string) (l *farEnd, err error) {
	ours, theirs, err := transport.Pair()
	if err != nil {
		return nil, err
	}
	secret, err := seal.GenerateSecret()
	if err != nil {
		return nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	c := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"bench-channel"}, args...)...)
	c.Args[0], c.Stderr, c.ExtraFiles = os.Args[0], os.Stderr, []*os.File{theirs, out}
	err = errors.Join(c.Start(), seal.WriteSecret(in, secret), in.Close(), theirs.Close(), out.Close())
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	l = &farEnd{end: c.Wait}
	if mode == "" {
		l.plain, err = net.FileConn(ours)
		return l, errors.Join(err, ours.Close())
	}
	t, err := transport.Open(ours, mode)
	if err != nil {
		return nil, errors.Join(err, ours.Close(), c.Wait())
	}
	if l.conn, err = wire.Dial(t, seal.Config{Secret: secret}, 10*time.Second); err != nil {
		return nil, errors.Join(err, c.Wait())
	}
	return l, nil
}

// trips makes n round trips, each of so many messages of 1 kB, and returns the
// microseconds a message.
func (l *farEnd) trips(n, batch int) ([]float64, error) {
	trip := l.tripPlain(batch)
	if l.conn != nil {
		trip = l.tripSealed(batch)
	}
	samples, err := timeTrips(n, trip)
	for i := range samples {
		samples[i] /= float64(batch)
	}
	return samples, err
}

// tripSealed looks for its answer as a caller of an operation does.
func (l *farEnd) tripSealed(batch int) func() error {
	m, looking := postOf(tripBytes), new(spin.Spinner)
	return func() error {
		for range batch {
			if err := l.conn.Queue(m); err != nil {
				return err
			}
		}
		if err := l.conn.Flush(); err != nil {
			return err
		}
		for range batch {
			if _, err := nextMessage(l.conn, looking); err != nil {
				return err
			}
		}
		return nil
	}
}

func (l *farEnd) tripPlain(batch int) func() error {
	buf := make([]byte, tripBytes*batch)
	return func() error {
		if _, err := l.plain.Write(buf); err != nil {
			return err
		}
		_, err := io.ReadFull(l.plain, buf)
		return err
	}
}

func postOf(size int) *wire.Msg {
	return wire.New(1, 0, &wire.Control_Post{Post: &wire.Post{Type: 1}}, make([]byte, size))
}

// lookPatience is that of both ends of a node's channel.
const lookPatience = 250 * time.Microsecond

func nextMessage(c wire.Conn, looking *spin.Spinner) (*wire.Msg, error) {
	if looking.Worthwhile() {
		if m, err := wire.RecvSoon(c, looking, lookPatience, spin.Sole); m != nil || err != nil {
			return m, err
		}
	}
	return c.Recv()
}

// channelTrips is a row's measure: round trips through the sealed channel.
func channelTrips(mode transport.Mode, batch int) measurement {
	return func(ctx context.Context, _ *bench, n int, r *benchResult) ([]float64, error) {
		l, err := dialFar(ctx, mode, "echo", "0", "0")
		if errors.Is(err, transport.ErrNoUring) {
			r.addNote("measured on the socket: " + err.Error())
			l, err = dialFar(ctx, transport.ModeSocket, "echo", "0", "0")
		}
		if err != nil {
			return nil, err
		}
		samples, err := l.trips(n, batch)
		return samples, errors.Join(err, l.close())
	}
}

// plainTrips are the same of bytes on a plain socket.
func plainTrips(batch int) measurement {
	return func(ctx context.Context, _ *bench, n int, _ *benchResult) ([]float64, error) {
		l, err := dialFar(ctx, "", "plain-echo", "0", "0")
		if err != nil {
			return nil, err
		}
		samples, err := l.trips(n, batch)
		return samples, errors.Join(err, l.close())
	}
}

// floodBatch is how many messages leave at once in the rows of one way, floodBytes
// how much one sample has.
const (
	floodBatch = 64
	floodBytes = 64 << 20
)

// floodCount is the messages of one sample.
func floodCount(size int) int { return min(floodBytes/size, 400_000) / floodBatch * floodBatch }

// channelFlood is messages of that size from the far end, a second of one processor:
// each end has one, garbage collector and all, and the slower end counts.
func channelFlood(mode transport.Mode, size int) measurement {
	what := "flood"
	if mode == "" {
		what = "plain-flood"
	}
	return func(ctx context.Context, _ *bench, n int, _ *benchResult) (samples []float64, err error) {
		count := floodCount(size)
		l, err := dialFar(ctx, mode, what, strconv.Itoa(size), strconv.Itoa(count))
		if err != nil {
			return nil, err
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		for range n {
			begun := processorTime()
			theirs, err := l.flooded(size, count)
			if err != nil {
				return nil, errors.Join(err, l.close())
			}
			samples = append(samples, float64(count)/max(processorTime()-begun, theirs).Seconds())
		}
		return samples, l.close()
	}
}

// flooded asks for one flood, takes it, and returns what processor time it has cost
// the other end.
func (l *farEnd) flooded(size, count int) (time.Duration, error) {
	if l.conn == nil {
		return floodedPlain(l.plain, size*count)
	}
	if err := l.conn.Send(postOf(0)); err != nil {
		return 0, err
	}
	for range count {
		m, err := l.conn.Recv()
		if err != nil {
			return 0, err
		}
		if len(m.Payload) != size {
			return 0, fmt.Errorf("a message of %d bytes, want %d", len(m.Payload), size)
		}
	}
	m, err := l.conn.Recv()
	if err != nil {
		return 0, err
	}
	return time.Duration(m.GetMetric().GetValue()), nil
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil { // fails only for another who
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
