package checkpoint

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPinned(t *testing.T) {
	a, _ := newArchive(t, Bounds{Keep: 1, Age: time.Hour})
	var pinned sync.Map
	a.Pin(func(i Info) bool { _, is := pinned.Load(i.ID); return is })
	old := mustKeep(t, a, "shop", "worker", 30*time.Minute)
	pinned.Store(old.ID, true)
	newer := mustKeep(t, a, "shop", "worker", 20*time.Minute)
	newest := mustKeep(t, a, "shop", "worker", 10*time.Minute)
	if _, err := a.Get(newer.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("what nobody needs is kept: %v", err)
	}
	if err := a.Remove(old.ID); !errors.Is(err, ErrPinned) {
		t.Errorf("what is needed is removed: %v", err)
	}
	a.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	must(t, a.Prune())
	if all := a.List("", ""); len(all) != 1 || all[0].ID != old.ID {
		t.Errorf("left are %v", all)
	}
	if _, err := a.Get(newest.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is old is kept: %v", err)
	}
	pinned.Delete(old.ID)
	must(t, a.Prune())
	nothingLeft(t, a)
}

func TestHold(t *testing.T) {
	a, _ := newArchive(t, Bounds{})
	i := mustKeep(t, a, "shop", "worker", 0)
	one, err := a.Hold(i.ID)
	must(t, err)
	two, err := a.Hold(i.ID)
	must(t, err)
	one()
	one() // once is enough
	if err := a.Remove(i.ID); !errors.Is(err, ErrPinned) {
		t.Errorf("held: %v", err)
	}
	two()
	must(t, a.Remove(i.ID))
	if _, err := a.Hold(i.ID); !errors.Is(err, ErrNotFound) || len(a.uses) > 0 {
		t.Errorf("removed: %v, in use %v", err, a.uses)
	}
}

// What is being removed cannot be kept again at that moment: it would be known, and not there.
func TestKeptWhileItIsRemoved(t *testing.T) {
	a, _ := newArchive(t, Bounds{})
	i := mustKeep(t, a, "shop", "worker", 0)
	var file bytes.Buffer
	must(t, a.Export(i.ID, nil, &file))
	again := func() error {
		_, err := a.Import(bytes.NewReader(file.Bytes()), nil, func(Header) error { return nil })
		return err
	}
	done, err := a.letGo(i)
	must(t, err)
	if err := again(); !errors.Is(err, ErrNotFound) {
		t.Errorf("while it goes: %v", err)
	}
	done()
	must(t, again())
	if a.of["shop"] != (share{i.Size, 1}) {
		t.Errorf("counted are %+v", a.of)
	}
	must(t, a.Remove(i.ID))
	must(t, again())
	must(t, a.Remove(i.ID))
	nothingLeft(t, a)
}

// Whoever holds a checkpoint, and has it pinned before he releases it, has it for good, whenever others
// remove it.
func TestHoldAndRemoveAtOnce(t *testing.T) {
	a, _ := newArchive(t, Bounds{})
	for range 200 {
		var pinned atomic.Bool
		a.needed = func(Info) bool { return pinned.Load() }
		i := mustKeep(t, a, "shop", "worker", 0)
		var told, removed bool
		var both sync.WaitGroup
		both.Go(func() {
			if release, err := a.Hold(i.ID); err == nil {
				pinned.Store(true)
				told = true
				release()
			}
		})
		both.Go(func() { removed = a.Remove(i.ID) == nil })
		both.Wait()
		if told == removed && told {
			t.Fatal("what others count on is gone")
		}
		if !removed {
			pinned.Store(false)
			must(t, a.Remove(i.ID))
		}
	}
}
