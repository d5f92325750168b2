package checkpoint

import (
	"errors"
	"fmt"
	"sync"
)

// ErrPinned: the checkpoint is needed, and is not removed.
var ErrPinned = errors.New("the checkpoint is needed")

// use is who has to do with a checkpoint's file just now.
type use struct{ holding, removing int }

// Pin sets which checkpoints are needed by others, as the cluster's copies of a cell's state are: they
// are neither pruned nor removed. It is called before the archive is used; needed is then called from any
// goroutine, without locks of the archive held.
func (a *Archive) Pin(needed func(Info) bool) { a.needed = needed }

// Hold keeps a checkpoint from being removed until release is called, for who is about to tell others
// that it is here; from then on they may pin it. ErrNotFound if it is not here, or is being removed.
func (a *Archive) Hold(id string) (release func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.all[id]; !there || a.uses[id].removing > 0 {
		return nil, fmt.Errorf("%w: %.80q", ErrNotFound, id)
	}
	return a.hold(id), nil
}

// arrive is Hold for a file that is about to be kept; the same may be here before.
func (a *Archive) arrive(id string) (release func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.uses[id].removing > 0 {
		return nil, fmt.Errorf("%w: the same is just being removed: try again: %s", ErrNotFound, id)
	}
	return a.hold(id), nil
}

// hold is called with a.mu held.
func (a *Archive) hold(id string) (release func()) {
	a.using(id, use{holding: 1})
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.using(id, use{holding: -1})
	})
}

// using is called with a.mu held.
func (a *Archive) using(id string, by use) {
	u := a.uses[id]
	u.holding += by.holding
	u.removing += by.removing
	if u == (use{}) {
		delete(a.uses, id)
		return
	}
	a.uses[id] = u
}

// letGo has nobody hold a checkpoint until done is called, or is ErrPinned. Whoever held it has told others
// by now: so needed is asked after that.
func (a *Archive) letGo(i Info) (done func(), err error) {
	a.mu.Lock()
	if a.uses[i.ID].holding > 0 {
		a.mu.Unlock()
		return nil, fmt.Errorf("%w: %s is on its way to another node, or has just come from one", ErrPinned, i.ID)
	}
	a.using(i.ID, use{removing: 1})
	a.mu.Unlock()
	done = func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.using(i.ID, use{removing: -1})
	}
	if a.needed != nil && a.needed(i) {
		done()
		return nil, fmt.Errorf("%w: the cluster counts on %s, the state of cell %s of %s: move or close the cell", ErrPinned, i.ID, i.Header.Cell, i.Header.Tenant)
	}
	return done, nil
}
