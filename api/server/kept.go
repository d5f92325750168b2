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
	given   []string                         // batches that other nodes have given back
	left    bool                             // they go, or have gone, to another node
	sending bool                             // they are sent there
}

// put keeps items, before those that are there, and wakes who waits. It returns how many were too
// many, and are lost.
func (k *kept) put(items []cell.Item) (lost int) {
	if len(items) == 0 {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.putting(items)
}

// putting is put with k.mu held.
func (k *kept) putting(items []cell.Item) (lost int) {
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

// putBatch is put, once, for what another node gives back. Nothing is put after the cell has left: it might be sent
// after it by both.
func (k *kept) putBatch(id string, items []cell.Item) (lost int, left bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.left:
		return 0, true
	case slices.Contains(k.given, id):
		return 0, false
	}
	k.given = append(k.given[max(0, len(k.given)-maxGiven+1):], id)
	return k.putting(items), false
}

// carry takes all, for another node to keep, and the batches among them. Until it stays after all, no batch comes to
// it.
func (k *kept) carry() (items []cell.Item, given []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left = true
	return k.all(), slices.Clone(k.given)
}

// stays says that the cell goes on here after all.
func (k *kept) stays() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left = false
}

// came has another node's be kept here.
func (k *kept) came(items []cell.Item, given []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.given = given
	k.putting(items)
}

// all takes all. k.mu is held.
func (k *kept) all() []cell.Item {
	items := k.items
	k.items, k.bytes = nil, 0
	return items
}

// sends says that there is something to be sent after the cell, and nobody who sends. Who hears so calls next until
// there is no more.
func (k *kept) sends() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sending || len(k.items) == 0 {
		return false
	}
	k.sending = true
	return true
}

// next is what is to be sent.
func (k *kept) next() []cell.Item {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left, k.sending = true, len(k.items) > 0
	return k.all()
}

// size is about what an item holds, in bytes.
func size(i cell.Item) int {
	const head = 256
	if e := i.Err; e != nil {
		return head + len(e.Message) + len(e.Traceback)
	}
	return head + len(i.Value.Data)
}
