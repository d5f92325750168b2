// Command parallel embeds PyIsolate: it counts primes in Python, first in one
// cell, then spread over one cell per processor, and prints the speed-up. The
// cells of one host run truly in parallel, each with its own interpreter lock.
//
//	go run ./examples/parallel
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
)

const program = `
def count_primes(lo, hi):
    found = 0
    for n in range(lo, hi):
        d = 2
        while d * d <= n and n % d:
            d += 1
        found += n > 1 and d * d > n
    return found
`

func main() {
	// A program that embeds cells is also their host, under this first argument.
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	if err := run(context.Background(), 150_000, runtime.NumCPU()); err != nil {
		fmt.Fprintln(os.Stderr, "parallel:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, limit, workers int) error {
	dist, err := pydist.Resolve(ctx, pydist.Options{Progress: pydist.TerminalProgress(os.Stderr)})
	if err != nil {
		return err
	}
	l, err := launch.New(launch.Config{Python: launch.Python{Home: dist.Home, Lib: dist.Lib, Stdlib: dist.Stdlib}})
	if err != nil {
		return err
	}
	defer func() { _ = l.Close(ctx) }()
	cells := make([]cell.Cell, workers)
	for i := range cells {
		if cells[i], err = l.Spawn(ctx, cell.Spec{Name: fmt.Sprintf("primes-%d", i)}); err != nil {
			return err
		}
		if err := cells[i].Exec(ctx, cell.Source{Code: []byte(program), File: "primes.py"}); err != nil {
			return err
		}
	}
	one, alone, err := count(ctx, cells[:1], limit)
	if err != nil {
		return err
	}
	many, together, err := count(ctx, cells, limit)
	if err != nil {
		return err
	}
	if one != many {
		return fmt.Errorf("one cell found %d primes, %d cells %d", one, workers, many)
	}
	fmt.Printf("%d primes below %d: %.2fs in 1 cell, %.2fs in %d cells, %.2f times as fast\n",
		many, limit, alone.Seconds(), together.Seconds(), workers, alone.Seconds()/together.Seconds())
	return nil
}

// chunks a cell's share is cut into, so that no cell ends early with the cheap
// small numbers.
const chunks = 32

// count spreads the numbers below limit over the cells.
func count(ctx context.Context, cells []cell.Cell, limit int) (primes int, took time.Duration, err error) {
	begun := time.Now()
	step := limit/chunks + 1
	work := make(chan int, chunks)
	for lo := 0; lo < limit; lo += step {
		work <- lo
	}
	close(work)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, c := range cells {
		all.Go(func() {
			for lo := range work {
				n, callErr := countIn(ctx, c, lo, min(lo+step, limit))
				mu.Lock()
				primes += n
				if callErr != nil {
					err = callErr
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return primes, time.Since(begun), err
}

func countIn(ctx context.Context, c cell.Cell, lo, hi int) (n int, err error) {
	v, err := c.Call(ctx, cell.Invocation{Target: "count_primes", Args: fmt.Appendf(nil, "[%d,%d]", lo, hi)})
	if err != nil {
		return 0, err
	}
	return n, v.Decode(&n)
}
