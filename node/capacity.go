package node

import (
	"context"
	"fmt"
	"sync"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/schedule"
	"github.com/pyisolate/pyisolate/node/fabric"
	"github.com/pyisolate/pyisolate/policystore"
)

// capacity knows the cells that a node runs, and how many and how large they may be. Its methods may
// be called by any goroutine. Bounds of 0 are none.
type capacity struct {
	cells  int
	memory int64 // in bytes, by the cells' limits

	mu    sync.Mutex
	live  map[cell.Cell]int64 // with what they take
	begun int                 // that are being started
	taken int64               // by all of them
	cut   uint64              // how often all were killed
}

func newCapacity(cells int, memory int64) *capacity {
	return &capacity{cells: cells, memory: memory, live: map[cell.Cell]int64{}}
}

// place is room that is kept for a cell that is being started.
type place struct {
	of     *capacity
	memory int64
	cut    uint64
}

// take keeps room for a cell, or says why there is none. The caller calls settle or leave.
func (c *capacity) take(limits cell.Limits) (place, error) {
	memory := limits.WithDefaults().Memory
	c.mu.Lock()
	defer c.mu.Unlock()
	running := len(c.live) + c.begun
	if c.cells > 0 && running >= c.cells {
		return place{}, fmt.Errorf("%w: this node has %d cells, which is the most that it is configured for: close some, or use another node", policystore.ErrLimited, running)
	}
	if c.memory > 0 && c.taken+memory > c.memory {
		return place{}, fmt.Errorf("%w: the cell may take %s, and of the %s that this node has for cells %s are left: close some, lower its memory, or use another node",
			policystore.ErrLimited, schedule.Bytes(memory), schedule.Bytes(c.memory), schedule.Bytes(max(c.memory-c.taken, 0)))
	}
	c.begun++
	c.taken += memory
	return place{c, memory, c.cut}, nil
}

// leave gives room back that no cell has got.
func (p place) leave() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.of.begun--
	p.of.taken -= p.memory
}

// settle has a cell take its room until it has ended. It says whether all cells were killed since
// take, and so this one should be.
func (p place) settle(started cell.Cell) (killed bool) {
	c := p.of
	c.mu.Lock()
	c.begun--
	c.live[started] = p.memory
	killed = c.cut != p.cut
	c.mu.Unlock()
	go func() { // it ends with the cell
		<-started.Done()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.taken -= p.memory
		delete(c.live, started)
	}()
	return killed
}

// kill ends all cells, those that are being started too, and waits until none is left or ctx ends.
func (c *capacity) kill(ctx context.Context, reason string) error {
	c.mu.Lock()
	c.cut++
	all := make([]cell.Cell, 0, len(c.live))
	for one := range c.live {
		all = append(all, one)
	}
	c.mu.Unlock()
	var killing sync.WaitGroup
	for _, one := range all { // a host that is stuck keeps nobody else alive
		killing.Go(func() { one.Kill(reason) })
	}
	for i, one := range all {
		select {
		case <-one.Done():
		case <-ctx.Done():
			return fmt.Errorf("%d of %d cells have not ended: %w", left(all[i:]), len(all), ctx.Err())
		}
	}
	killing.Wait()
	return nil
}

// left is how many cells have not ended.
func left(all []cell.Cell) (n int) {
	for _, one := range all {
		select {
		case <-one.Done():
		default:
			n++
		}
	}
	return n
}

func (c *capacity) room() fabric.Room {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fabric.Room{Cells: c.cells, CellsUsed: len(c.live) + c.begun, Memory: c.memory, MemoryUsed: c.taken}
}
