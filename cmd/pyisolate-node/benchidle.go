package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/seal"
	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// What the rows of idleness have, and for how long they look.
const (
	idleCells  = 200
	idleHosts  = 100
	idleWindow = time.Second
)

// idleCPU is the percentage of one processor that node and host use together while
// all cells are idle.
func idleCPU(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	crowd, err := newCrowd(ctx, l, cell.SubInterpreter)
	if err != nil {
		return nil, err
	}
	if err := crowd.grow(ctx, idleCells-1); err != nil {
		return nil, err
	}
	samples := make([]float64, 0, n)
	for range n {
		if err := wait(ctx, idleWindow/10); err != nil { // what was said last is over
			return nil, err
		}
		begun := time.Now()
		before, err := processorTimeOf(os.Getpid(), crowd.host)
		if err == nil {
			err = wait(ctx, idleWindow)
		}
		if err != nil {
			return nil, err
		}
		after, err := processorTimeOf(os.Getpid(), crowd.host)
		if err != nil {
			return nil, err
		}
		samples = append(samples, 100*(after-before).Seconds()/time.Since(begun).Seconds())
	}
	return samples, nil
}

// processorTimeOf adds the clocks that the kernel keeps of processes.
func processorTimeOf(pids ...int) (sum time.Duration, err error) {
	const schedClock = 2
	for _, pid := range pids {
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|schedClock), &t); err != nil {
			return 0, fmt.Errorf("read the clock of process %d: %w", pid, err)
		}
		sum += time.Duration(t.Nano())
	}
	return sum, nil
}

// idleChannels is KiB for one end of an idle channel, the waiting thread included, in a
// process that has nothing else. Node and host each pay for theirs.
func idleChannels(ctx context.Context, _ *bench, n int, _ *benchResult) (samples []float64, err error) {
	for range n {
		c := exec.CommandContext(ctx, "/proc/self/exe", "bench-channel", "idle", "0", strconv.Itoa(idleHosts))
		c.Args[0] = os.Args[0]
		one, err := samplesOf(c)
		if err != nil {
			return nil, err
		}
		samples = append(samples, one...)
	}
	return samples, nil
}

// reportIdleChannels prints what an end takes, measured on both ends of count channels.
func reportIdleChannels(out io.Writer, count int) error {
	var readers sync.WaitGroup
	var conns []wire.Conn
	open := func() error {
		node, host, err := idleChannel()
		if err != nil {
			return err
		}
		for _, c := range []wire.Conn{node, host} {
			conns = append(conns, c)
			readers.Go(func() { _, _ = c.Recv() })
		}
		return nil
	}
	if err := open(); err != nil { // pays for what all share
		return err
	}
	before, err := settledMemory()
	for range count {
		err = errors.Join(err, open())
	}
	after, err2 := settledMemory()
	for _, c := range conns {
		err = errors.Join(err, c.Close())
	}
	readers.Wait()
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode([]float64{(after - before) / float64(2*count)})
}

// settledMemory is this process's private memory when nothing more is given back.
func settledMemory() (float64, error) {
	debug.FreeOSMemory()
	return privateMemory(os.Getpid())
}

// idleChannel returns both ends of a channel that has been used.
func idleChannel() (node, host wire.Conn, err error) {
	ours, theirs, err := transport.Pair()
	if err != nil {
		return nil, nil, err
	}
	value := make([]byte, seal.SecretSize)
	_, _ = rand.Read(value) // does not fail
	dialed, err1 := seal.NewSecret(append([]byte(nil), value...))
	accepted, err2 := seal.NewSecret(value)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	var other sync.WaitGroup
	other.Go(func() { host, err2 = wire.Accept(transport.NewSocket(theirs), seal.Config{Secret: accepted}) })
	node, err1 = wire.Dial(transport.NewSocket(ours), seal.Config{Secret: dialed}, 0)
	other.Wait()
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	for _, way := range [][2]wire.Conn{{node, host}, {host, node}} {
		_, err2 = way[0], way[0].Send(postOf(tripBytes))
		if _, err1 = way[1].Recv(); err1 != nil || err2 != nil {
			return nil, nil, errors.Join(err1, err2)
		}
	}
	return node, host, nil
}

// idleSeats is KiB that the node keeps of an idle cell, of 200 whatever n is.
func idleSeats(ctx context.Context, b *bench, _ int, r *benchResult) ([]float64, error) {
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	if _, err := spawnIdle(ctx, l, cell.SubInterpreter); err != nil {
		return nil, err
	}
	before := liveMemory()
	for range idleCells {
		if _, err := spawnIdle(ctx, l, cell.SubInterpreter); err != nil {
			return nil, err
		}
	}
	r.N = idleCells
	return []float64{(liveMemory() - before) / idleCells}, nil
}

// liveMemory is KiB of what is alive in the heap, and of stacks.
func liveMemory() float64 {
	runtime.GC()
	runtime.GC() // what pools held through the first
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return float64(s.HeapAlloc+s.StackInuse) / 1024
}
