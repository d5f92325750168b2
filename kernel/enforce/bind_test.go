package enforce

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// crowd is a process whose youngest thread starts another each time that they are listed, for
// ever, but takes a rest each third time. A bound one starts bound ones.
type crowd struct {
	alive    map[int]bool // and whether it is bound
	next     int
	short    bool // who has started one has ended
	listings int
}

func (c *crowd) list() ([]int, error) {
	seen := slices.Sorted(maps.Keys(c.alive))
	c.listings++
	if c.listings%3 == 0 {
		return seen, nil
	}
	youngest := seen[len(seen)-1]
	c.next++
	c.alive[c.next] = c.alive[youngest]
	if c.short {
		delete(c.alive, youngest)
	}
	return seen, nil
}

func (c *crowd) Bound(tid int) bool { return c.alive[tid] }

func (c *crowd) Bind(tid int) error {
	if _, alive := c.alive[tid]; !alive {
		return fmt.Errorf("bind: %w", unix.ESRCH)
	}
	c.alive[tid] = true
	return nil
}

func TestBindAll(t *testing.T) {
	for name, c := range map[string]*crowd{
		"threads that start threads": {alive: map[int]bool{1: false, 2: false}, next: 2},
		"a chain of short lives":     {alive: map[int]bool{1: false}, next: 1, short: true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := bindAll(c.list, c); err != nil {
				t.Fatal(err)
			}
			for tid, bound := range c.alive {
				if !bound {
					t.Errorf("thread %d of %v is not bound", tid, c.alive)
				}
			}
		})
	}
}

// noted notes who was bound, by nobody else.
type noted struct {
	tids []int
	err  error
}

func (*noted) Bound(int) bool { return false }

func (n *noted) Bind(tid int) error {
	n.tids = append(n.tids, tid)
	return n.err
}

// A listing that lacks a thread is not the last.
func TestBindAllOfAShortListing(t *testing.T) {
	listings := [][]int{{1, 2}, {1}, {1, 2, 3}}
	n := &noted{}
	err := bindAll(func() ([]int, error) {
		l := listings[0]
		listings = listings[min(1, len(listings)-1):]
		return l, nil
	}, n)
	if err != nil || !slices.Equal(n.tids, []int{1, 2, 3}) {
		t.Errorf("bound %v: %v", n.tids, err)
	}
}

func TestBindAllFails(t *testing.T) {
	refused := errors.New("refused")
	if err := bindAll(func() ([]int, error) { return []int{1}, nil }, &noted{err: refused}); !errors.Is(err, refused) {
		t.Errorf("a thread that cannot be bound: %v", err)
	}
	if err := bindAll(func() ([]int, error) { return nil, refused }, &noted{}); !errors.Is(err, refused) {
		t.Errorf("threads that cannot be listed: %v", err)
	}
	last := 0
	endless := func() ([]int, error) { last++; return []int{last}, nil }
	if err := bindAll(endless, &noted{}); err == nil {
		t.Error("threads without end are all bound")
	}
}
