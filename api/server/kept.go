package server

import (
	"context"
	"slices"
	"sync"

	"github.com/pyisolate/pyisolate/cell"
)

// maxKept is of the bytes that are kept of a cell, about: several receivers' that left at once.
const maxKept = 4 << 20

// kept are items that were taken from a cell and not sent, for whoever receives next. Methods may
// be called from any goroutine.
type kept struct {
	mu      sync.Mutex
	items   []cell.Item
	bytes   int
	waiting map[*context.CancelFunc]struct{} // for items to be kept
}

// put keeps items, before those that are there, and wakes who waits. It returns how many were too
// many, and are lost.
func (k *kept) put(items []cell.Item) (lost int) {
	if len(items) == 0 {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for ; n < len(items) && k.bytes < maxKept; n++ {
		k.bytes += size(items[n])
	}
	k.items = slices.Concat(items[:n], k.items)
	for wake := range k.waiting {
		(*wake)()
	}
	clear(k.waiting)
	return len(items) - n
}

// take returns so many, or fewer. If it returns none, wake is called when there are some; the
// caller calls leave when he does not wait any more.
func (k *kept) take(most int, wake context.CancelFunc) (items []cell.Item, leave func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.items) == 0 {
		if k.waiting == nil {
			k.waiting = map[*context.CancelFunc]struct{}{}
		}
		k.waiting[&wake] = struct{}{}
		return nil, func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			delete(k.waiting, &wake)
		}
	}
	n := min(len(k.items), max(1, most))
	items, k.items = k.items[:n:n], k.items[n:]
	for _, one := range items {
		k.bytes -= size(one)
	}
	if len(k.items) == 0 {
		k.items = nil
	}
	return items, func() {}
}

// carry takes all, for another node to keep.
func (k *kept) carry() []cell.Item {
	k.mu.Lock()
	defer k.mu.Unlock()
	items := k.items
	k.items, k.bytes = nil, 0
	return items
}

// size is about what an item holds, in bytes.
func size(i cell.Item) int {
	const head = 256
	if e := i.Err; e != nil {
		return head + len(e.Message) + len(e.Traceback)
	}
	return head + len(i.Value.Data)
}
