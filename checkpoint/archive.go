package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Bounds of an [Archive]. What is zero is not bounded.
type Bounds struct {
	// Bytes of all files, TenantBytes of one tenant's, and TenantCount how many it may have. What
	// would exceed them is refused with [ErrFull].
	Bytes, TenantBytes int64
	TenantCount        int
	// Keep is how many of each cell are kept: the newest. Those that are sealed to somebody else
	// are counted for themselves.
	Keep int
	// Age is when a checkpoint is removed.
	Age time.Duration
}

// Archive is a store of checkpoints with the keys to it, that knows whose they are. Its methods may
// be called from any goroutine.
type Archive struct {
	store  *Store
	ring   *Ring
	bounds Bounds
	needed func(Info) bool // see Pin; nil: none is
	now    func() time.Time

	mu       sync.Mutex
	all      map[string]Info
	of       map[string]share    // by tenant
	arrivals map[string]*Arrival // by transfer
	uses     map[string]use      // by id
	coming   map[string]int      // how many files are being written that need a key, by its id
}

// share is what a tenant has, with what is being written.
type share struct {
	bytes int64
	count int
}

// OpenArchive opens or makes a directory of checkpoints. It removes none: what others need, which Pin tells,
// may not be known yet.
func OpenArchive(dir string, ring *Ring, b Bounds) (*Archive, error) {
	store, err := OpenStore(dir, b.Bytes)
	if err != nil {
		return nil, err
	}
	all, err := store.List()
	if err != nil {
		return nil, err
	}
	a := &Archive{store: store, ring: ring, bounds: b, now: time.Now, all: map[string]Info{}, of: map[string]share{},
		arrivals: map[string]*Arrival{}, uses: map[string]use{}, coming: map[string]int{}}
	for _, i := range all {
		a.all[i.ID] = i
		a.count(i.Header.Tenant, i.Size, 1)
	}
	return a, nil
}

// count is called with a.mu held, or by who has the archive alone.
func (a *Archive) count(tenant string, bytes int64, n int) {
	s := a.of[tenant]
	s.bytes += bytes
	s.count += n
	a.of[tenant] = s
	if s == (share{}) {
		delete(a.of, tenant)
	}
}

// exported tells that the ring does not open a checkpoint: it was sealed to somebody else.
func (h Header) exported() bool { return len(h.Key.Sealed) > 0 }

// Recipient is who only can open the checkpoint, by a hash of the key; "": who has the tenant's.
func (h Header) Recipient() string {
	if h.exported() {
		return h.Key.ID
	}
	return ""
}

// List returns a tenant's checkpoints of a cell, newest first; "" is each tenant, or cell. Cells
// come by their names.
func (a *Archive) List(tenant, cell string) []Info {
	a.mu.Lock()
	found := slices.Collect(maps.Values(a.all))
	a.mu.Unlock()
	found = slices.DeleteFunc(found, func(i Info) bool {
		return tenant != "" && i.Header.Tenant != tenant || cell != "" && i.Header.Cell != cell
	})
	slices.SortFunc(found, newestFirst)
	return found
}

func newestFirst(x, y Info) int {
	return cmp.Or(cmp.Compare(x.Header.Tenant, y.Header.Tenant), cmp.Compare(x.Header.Cell, y.Header.Cell),
		y.Header.Created.Compare(x.Header.Created), cmp.Compare(x.ID, y.ID))
}

// Get tells of a checkpoint.
func (a *Archive) Get(id string) (Info, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i, there := a.all[id]; there {
		return i, nil
	}
	return Info{}, fmt.Errorf("%w: %.80q", ErrNotFound, id)
}

// Remove removes a checkpoint for good. ErrPinned says that it is needed: see Pin and Hold.
func (a *Archive) Remove(id string) error {
	i, err := a.Get(id)
	if err != nil {
		return err
	}
	return a.remove(i)
}

func (a *Archive) remove(i Info) error {
	done, err := a.letGo(i)
	if err != nil {
		return err
	}
	defer done()
	if err := a.store.Remove(i.ID); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.all[i.ID]; there {
		delete(a.all, i.ID)
		a.count(i.Header.Tenant, -i.Size, -1)
	}
	return nil
}

// Prune removes what is too old, or of its cell too many, and not needed; arrivals of which nothing
// comes; and adopted keys that no file was sealed with that is here or comes. Seal does so for its tenant's checkpoints.
func (a *Archive) Prune() error {
	a.reap()
	a.mu.Lock()
	used := map[string]bool{}
	for id := range a.coming { // before what is here is listed, where they are when they have come
		used[id] = true
	}
	a.mu.Unlock()
	listed := a.List("", "")
	if err := a.prune(listed); err != nil {
		return err
	}
	for _, i := range listed {
		used[i.Header.Key.ID] = true
	}
	return a.ring.shed(func(id string) bool { return used[id] }, a.now())
}

// prune removes of those listed, the newest of each cell first.
func (a *Archive) prune(listed []Info) error {
	type of struct {
		tenant, cell string
		exported     bool
	}
	had := map[of]int{}
	for _, i := range listed {
		h := i.Header
		k := of{h.Tenant, h.Cell, h.exported()}
		had[k]++
		old := a.bounds.Age > 0 && a.now().Sub(h.Created) > a.bounds.Age
		if many := a.bounds.Keep > 0 && had[k] > a.bounds.Keep; !old && !many {
			continue
		}
		if err := a.remove(i); err != nil && !errors.Is(err, ErrPinned) {
			return err
		}
	}
	return nil
}

// Ring has the archive's keys.
func (a *Archive) Ring() *Ring { return a.ring }
