package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/share"
	"github.com/pyisolate/pyisolate/policystore"
)

const (
	// maxLive is how many cells a node has at one time, and of them each tenant its share.
	maxLive = 4096
	// maxEnded is how many cells are remembered after their end, with what nobody has received
	// of them: the latest, and of one tenant no more than maxEndedOfOne.
	maxEnded      = 64
	maxEndedOfOne = 16
)

// cellKey names a cell.
type cellKey struct{ tenant, name string }

func (k cellKey) String() string { return k.tenant + "/" + k.name }

func (k cellKey) address() actors.Address { return actors.Address{Tenant: k.tenant, Name: k.name} }

func (k cellKey) ref() *pb.CellRef { return &pb.CellRef{Tenant: k.tenant, Name: k.name} }

// book is what the node knows of its cells and their actors do not: bounds, and what belongs
// to names. Methods may be called from any goroutine.
type book struct {
	forget func(actors.Address) <-chan struct{} // of actors

	mu     sync.Mutex
	closed bool
	all    map[cellKey]*entry
	of     map[string]int // how many that have not ended a tenant has
	live   int
	gone   map[cellKey]<-chan struct{} // of cells that other nodes have by now: closed when their guests here have ended
	ended  []*entry                    // in the order of their ends
	ends   sync.WaitGroup              // of goroutines that wait for incarnations' ends
}

func newBook() *book {
	return &book{all: map[cellKey]*entry{}, gone: map[cellKey]<-chan struct{}{}, of: map[string]int{}}
}

// reserve keeps a name for a cell that is to be started, and forgets one that has ended. When
// the same spawn came before, it returns that one's entry. The caller calls settle or withdraw
// of a new one.
func (b *book) reserve(e *entry) (same *entry, err error) {
	for {
		gone, same, err := b.try(e)
		if gone == nil {
			return same, err
		}
		<-gone
	}
}

// try reserves, or says what to wait for.
func (b *book) try(e *entry) (gone <-chan struct{}, same *entry, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, fmt.Errorf("%w: the node ends", fault.ErrUnavailable)
	}
	if old := b.all[e.key]; old != nil {
		switch {
		case e.spawnedBy != (actors.ID{}) && e.spawnedBy == old.spawnedBy:
			return nil, old, nil
		case !slices.Contains(b.ended, old) && e.arriving:
			return nil, nil, cell.Errorf(cell.Busy, "cell %s has not left this node yet; try again", e.key)
		case !slices.Contains(b.ended, old):
			return nil, nil, cell.Errorf(cell.Invalid, "tenant %s has a cell named %s already: close it, or choose another name", e.key.tenant, e.key.name)
		}
		if gone = b.forget(e.key.address()); gone != nil {
			return gone, nil, nil
		}
		b.drop(old)
	}
	if b.live >= maxLive {
		return nil, nil, fmt.Errorf("%w: there are %d cells, which is the most: close some", policystore.ErrLimited, maxLive)
	}
	if has := b.of[e.key.tenant]; int64(has) >= share.Of(maxLive, int64(b.live-has)) {
		return nil, nil, fmt.Errorf("%w: tenant %s has %d cells, which is its share: close some", policystore.ErrLimited, e.key.tenant, has)
	}
	b.all[e.key] = e
	b.count(e.key.tenant, 1)
	return nil, nil, nil
}

// keepFor reserves the name of a cell that is to come from another node. Until arrived, nobody finds it.
func (b *book) keepFor(e *entry) error {
	_, err := b.reserve(e) // which is like no spawn that came before
	return err
}

// leave makes free the name of a cell that another node has by now.
func (b *book) leave(e *entry, guest <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(e)
	b.gone[e.key] = guest
	b.ends.Go(func() {
		<-guest
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.gone[e.key] == guest {
			delete(b.gone, e.key)
		}
	})
}

// waitGone waits until nothing is left here of a cell that had gone to another node.
func (b *book) waitGone(ctx context.Context, k cellKey) error {
	b.mu.Lock()
	guest := b.gone[k]
	b.mu.Unlock()
	if guest == nil {
		return nil
	}
	select {
	case <-guest:
		return nil
	case <-ctx.Done():
		return cell.Errorf(cell.Busy, "cell %s has just left this node, and is still ending here; try again", k)
	}
}

// arrived has a cell that has come be found, also by the request that it was spawned by.
func (b *book) arrived(e *entry, by actors.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.arriving, e.spawnedBy = false, by
}

// count is called with b.mu held.
func (b *book) count(tenant string, n int) {
	b.live += n
	if b.of[tenant] += n; b.of[tenant] == 0 {
		delete(b.of, tenant)
	}
}

// drop makes a name free. The caller holds b.mu.
func (b *book) drop(e *entry) {
	if b.all[e.key] != e {
		return
	}
	delete(b.all, e.key)
	if at := slices.Index(b.ended, e); at >= 0 {
		b.ended = slices.Delete(b.ended, at, at+1)
	} else {
		b.count(e.key.tenant, -1)
	}
}

// withdraw takes back what was reserved.
func (b *book) withdraw(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(e)
}

// happened is told what becomes of cells, by their actors. It may come late: another has the name by then.
func (b *book) happened(event actors.Event) {
	e, known := event.Of.(*entry)
	if !known {
		return
	}
	var oldest *entry
	b.mu.Lock()
	switch event.Kind {
	case actors.Ended:
		oldest = b.retire(e)
	case actors.Left:
		b.drop(e)
	}
	b.mu.Unlock()
	e.happened(event)
	if oldest != nil {
		b.forget(oldest.key.address()) // it will tell that it has left
	}
}

// retire counts a cell as ended, and returns one that is to be forgotten for it, or nil: none twice,
// for it takes a while until an actor has told that it has left, and others end meanwhile.
func (b *book) retire(e *entry) *entry {
	if b.all[e.key] != e || slices.Contains(b.ended, e) {
		return nil
	}
	b.count(e.key.tenant, -1)
	b.ended = append(b.ended, e)
	var first, firstOfOne *entry
	all, ofOne := 0, 0
	for _, o := range b.ended {
		if o.leaving {
			continue
		}
		all++
		first = cmp.Or(first, o)
		if o.key.tenant == e.key.tenant {
			ofOne++
			firstOfOne = cmp.Or(firstOfOne, o)
		}
	}
	switch {
	case ofOne > maxEndedOfOne:
		firstOfOne.leaving = true
		return firstOfOne
	case all > maxEnded:
		first.leaving = true
		return first
	}
	return nil
}

// find returns the cell of a name, or the last that had it.
func (b *book) find(k cellKey) (*entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.all[k]; e != nil && !e.arriving {
		return e, nil
	}
	return nil, fmt.Errorf("%w: tenant %s has no cell named %s", policystore.ErrNotFound, k.tenant, k.name)
}

// by returns the cell of a name if that request has made it, or had it go on here; nil: it has not, or has no id.
func (b *book) by(k cellKey, id actors.ID) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.all[k]; e != nil && !e.arriving && id != (actors.ID{}) && (e.spawnedBy == id || e.restoredBy == id) {
		return e
	}
	return nil
}

// restored notes the request that had a cell go on here.
func (b *book) restored(k cellKey, id actors.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.all[k]; e != nil {
		e.restoredBy = id
	}
}

// list returns the cells of a tenant, of all for "", by name.
func (b *book) list(tenant string) []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*entry
	for k, e := range b.all {
		if (tenant == "" || k.tenant == tenant) && !e.arriving {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(x, y *entry) int {
		return cmp.Or(cmp.Compare(x.key.tenant, y.key.tenant), cmp.Compare(x.key.name, y.key.name))
	})
	return all
}

// cells is how many have not ended.
func (b *book) cells() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.live
}

// close has no cell begin any more.
func (b *book) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

// kill ends what the actors have left, which are no more, and waits.
func (b *book) kill() {
	for _, e := range b.list("") {
		if r := e.incarnation(); r != nil {
			r.cell.Kill("its node ends")
		}
	}
	b.ends.Wait()
}
