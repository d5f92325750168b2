package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/ring"
)

func tripHost(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
	return b.inHost(ctx, "trip", n, tripBytes)
}

// smallBytes is the other message size of throughput.host.
const smallBytes = 64

func throughputHost(ctx context.Context, b *bench, n int, r *benchResult) ([]float64, error) {
	small, err := b.inHost(ctx, "flood", n, smallBytes)
	if err != nil {
		return nil, err
	}
	r.SmallP50 = quantile(small, 0.5)
	return b.inHost(ctx, "flood", n, tripBytes)
}

// inHost measures in a process that loads CPython as a host does; this one
// never maps it.
func (b *bench) inHost(ctx context.Context, what string, n, size int) ([]float64, error) {
	c := exec.CommandContext(ctx, "/proc/self/exe", "bench-host", what, strconv.Itoa(n), strconv.Itoa(size),
		b.dist.Lib, b.dist.Home, b.dist.Stdlib)
	c.Args[0] = os.Args[0]
	return samplesOf(c)
}

// newBenchHost is the process that inHost starts.
func newBenchHost() *cobra.Command {
	return &cobra.Command{Use: "bench-host trip|flood N SIZE LIB HOME STDLIB", Hidden: true, Args: cobra.ExactArgs(6),
		RunE: func(c *cobra.Command, args []string) error {
			n, err1 := strconv.Atoi(args[1])
			size, err2 := strconv.Atoi(args[2])
			if err := errors.Join(err1, err2); err != nil {
				return usageError{err}
			}
			guest, err := startBareCell(host.Dist{Lib: args[3], Home: args[4], Stdlib: args[5]})
			if err != nil {
				return err
			}
			samples, err := guest.measure(args[0], n, size)
			if err = errors.Join(err, guest.stop()); err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(samples)
		}}
}

// bareCell is a cell driven frame by frame, without a node. One goroutine uses
// it; another, until stop, takes what it does not poll for itself.
type bareCell struct {
	region *ring.Region
	worker host.Worker
	op     uint64
	served chan error
	// answers has room for one: there is one operation at a time.
	answers chan ring.Frame
	posts   int // counted by whoever handles frames, read between operations
}

func startBareCell(d host.Dist) (*bareCell, error) {
	threads := hostOptions().Threads
	if threads == nil {
		return nil, errors.New("this binary has no sub-interpreters: build it with cgo")
	}
	executor, err := threads(d)
	if err != nil {
		return nil, err
	}
	region, err := ring.New(ring.Options{})
	if err != nil {
		return nil, err
	}
	worker, err := executor.Start(region)
	if err != nil {
		return nil, errors.Join(err, region.Free())
	}
	c := &bareCell{region: region, worker: worker, served: make(chan error, 1), answers: make(chan ring.Frame, 1)}
	if f, err := region.Recv(); err != nil || f.Kind != ring.OutReady {
		return nil, fmt.Errorf("start a cell: frame %d %q: %w", f.Kind, f.Payload, err)
	}
	go func() { c.served <- region.Serve(c.handle) }()
	// Limits that no row reaches.
	if err := region.SetRules(ring.Limits{Memory: 64 << 20, MessageBytes: 1 << 20, Files: 64}, nil); err != nil {
		return nil, err
	}
	_, err = c.ask(ring.InClaim, 0, binary.LittleEndian.AppendUint32(nil, ring.PolicyShared))
	return c, err
}

// stop ends the cell and the goroutine that served it.
func (c *bareCell) stop() error {
	c.worker.Kill()
	<-c.worker.Done()
	c.region.Close()
	if err := <-c.served; err != nil && !errors.Is(err, ring.ErrClosed) && !errors.Is(err, errCellEnded) {
		return err
	}
	return c.region.Free()
}

var errCellEnded = errors.New("the cell ended")

func (c *bareCell) handle(f ring.Frame) error {
	switch f.Kind {
	case ring.OutPost:
		c.posts++
	case ring.OutResult, ring.OutError:
		c.answers <- f
	case ring.OutEnded:
		return errCellEnded
	}
	return nil
}

// pollPatience is that of a host's runner.
const pollPatience = 20 * time.Microsecond

// ask runs one operation as a host's runner does.
func (c *bareCell) ask(kind ring.Kind, flags ring.Flags, parts ...[]byte) ([]byte, error) {
	c.op++
	if err := c.region.Send(kind, flags, c.op, parts...); err != nil {
		return nil, err
	}
	_ = c.region.Poll(pollPatience, func() bool { return len(c.answers) > 0 }, c.handle)
	select {
	case f := <-c.answers:
		if f.Kind == ring.OutError {
			return nil, fmt.Errorf("the guest failed: %q", f.Payload)
		}
		return f.Payload, nil
	case err := <-c.served:
		return nil, errors.Join(errCellEnded, err)
	}
}

func (c *bareCell) exec(source string) error {
	_, err := c.ask(ring.InExec, 0, make([]byte, 8), []byte(source)) // no file name, no arguments
	return err
}

func (c *bareCell) measure(what string, n, size int) ([]float64, error) {
	switch what {
	case "trip":
		return c.trips(n, size)
	case "flood":
		return c.floods(n, size)
	}
	return nil, usageError{fmt.Errorf("%q is neither trip nor flood", what)}
}

func (c *bareCell) trips(n, size int) ([]float64, error) {
	if err := c.exec(echoSource); err != nil {
		return nil, err
	}
	const target = "echo"
	lengths := binary.LittleEndian.AppendUint32(nil, uint32(len(target)))
	lengths = binary.LittleEndian.AppendUint32(lengths, uint32(size))
	lengths = binary.LittleEndian.AppendUint32(lengths, 0)
	message := make([]byte, size)
	return timeTrips(n, func() error {
		answer, err := c.ask(ring.InCall, ring.Raw, lengths, []byte(target), message)
		if err == nil && len(answer) != size {
			err = fmt.Errorf("the echo of %d bytes has %d", size, len(answer))
		}
		return err
	})
}

// floodPosts are posted in one sample.
const floodPosts = 100_000

// floods is messages a second, posted and taken.
func (c *bareCell) floods(n, size int) ([]float64, error) {
	source := fmt.Sprintf("d = bytes(%d)\nfor _ in range(%d): post(d)", size, floodPosts)
	samples := make([]float64, 0, n)
	for range n {
		c.posts = 0
		begun := time.Now()
		if err := c.exec(source); err != nil {
			return nil, err
		}
		if c.posts != floodPosts {
			return nil, fmt.Errorf("%d of %d posts arrived", c.posts, floodPosts)
		}
		samples = append(samples, floodPosts/time.Since(begun).Seconds())
	}
	return samples, nil
}
