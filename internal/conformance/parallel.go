package conformance

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

const (
	// busy is how long guests compute, in each of the tries.
	busy  = time.Second
	tries = 5
	// Two that wait for each other get one processor at the most, so more than enough is
	// proof that they do not. On a loaded machine they may get less: then it is proof that
	// both compute and hardly ever sleep. One that waits for a GIL sleeps every 5 ms.
	enough = 1.3
	hardly = 2
)

var spin = fmt.Sprintf(`
import time
def spin():
    end = time.monotonic() + %g
    n = 0
    while time.monotonic() < end:
        n += 1
`, busy.Seconds())

func tryParallelCells(ctx context.Context, s *scene) (string, error) {
	var cells []cell.Cell
	for range 2 {
		c, err := s.exec(ctx, cell.Spec{Imports: []string{"time"}}, spin)
		if err != nil {
			return "", err
		}
		cells = append(cells, c)
	}
	return atOnce("two cells", func() (load, error) { return used(ctx, "spin", cells...) })
}

func tryParallelThreads(ctx context.Context, s *scene) (string, error) {
	c, err := s.exec(ctx, cell.Spec{Imports: []string{"time", "threading"}, Limits: cell.Limits{Children: 2}}, spin+`
import threading
def both():
    # Named so that the kernel calls them like other threads of cells.
    two = [threading.Thread(target=spin, name="pyisolate-cell") for _ in range(2)]
    for t in two: t.start()
    for t in two: t.join()
`)
	if err != nil {
		return "", err
	}
	return atOnce("two threads of one cell", func() (load, error) { return used(ctx, "both", c) })
}

// load is what threads did while they had something to compute.
type load struct {
	got     float64 // processors at once
	threads int     // that computed
	sleeps  int     // of them all
}

func (l load) parallel() bool {
	return l.got >= enough || l.threads > 1 && l.sleeps <= hardly
}

// atOnce measures until it is sure: once too many processors, or else the median.
func atOnce(what string, measure func() (load, error)) (string, error) {
	var all []load
	var verdict load
	for len(all) < tries && verdict.got < enough {
		l, err := measure()
		if err != nil {
			return "", err
		}
		all = append(all, l)
		slices.SortFunc(all, func(a, b load) int { return cmp.Compare(a.sleeps, b.sleeps) })
		verdict = all[len(all)/2]
		if l.got >= enough {
			verdict = l
		}
	}
	text := fmt.Sprintf("%s got %.2f processors at once, of the %d that there are, and %d threads slept %d times meanwhile, by the kernel's count",
		what, verdict.got, runtime.NumCPU(), verdict.threads, verdict.sleeps)
	if !verdict.parallel() {
		return "", fmt.Errorf("they wait for each other: %s", text)
	}
	return text, nil
}

// used is what the cells use while each runs a function.
func used(ctx context.Context, function string, cells ...cell.Cell) (load, error) {
	hosts := map[int]bool{}
	for _, c := range cells {
		r, err := c.Inspect(ctx)
		if err != nil {
			return load{}, err
		}
		hosts[r.HostPID] = true
	}
	begin := time.Now()
	ended := make(chan error, len(cells))
	for _, c := range cells {
		go func() {
			_, err := c.Call(ctx, cell.Invocation{Target: function})
			ended <- err
		}()
	}
	// From when all have begun until the first may have ended.
	var first, last map[thread]clocks
	var from, to time.Time
	look := time.NewTicker(busy / 20)
	defer look.Stop()
	for left := len(cells); left > 0; {
		select {
		case err := <-ended:
			if err != nil {
				return load{}, err
			}
			left--
		case <-look.C:
			switch took := time.Since(begin); {
			case took > busy:
			case took > busy/3 && first == nil:
				from, first = time.Now(), clocksOf(hosts)
			case first != nil:
				last, to = clocksOf(hosts), time.Now()
			}
		}
	}
	return between(first, last, to.Sub(from)), nil
}

func between(first, last map[thread]clocks, took time.Duration) load {
	var l load
	for t, c := range last {
		b, known := first[t]
		if ran := c.ran - b.ran; known && ran > 0 {
			l.threads++
			l.got += float64(ran) / float64(took)
			l.sleeps += c.sleeps - b.sleeps
		}
	}
	return l
}

func clocksOf(hosts map[int]bool) map[thread]clocks {
	all := map[thread]clocks{}
	for host := range hosts {
		for _, t := range cellThreads(host) {
			t.running = false // it tells threads apart by their numbers only
			if c, err := t.clocks(); err == nil {
				all[t] = c
			}
		}
	}
	return all
}
