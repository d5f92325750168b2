//go:build failpoints

package failpoint

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Point is one moment. Make them in package variables.
type Point struct {
	name string

	mu    sync.Mutex
	armed string // the file's text
	hits  int    // since it was armed
}

var (
	// points is written while packages initialise, and only read afterwards.
	points  = map[string]*Point{}
	steered = Dir(os.Getenv(Env))
)

// New names a point. It panics when the name is taken, as a package variable's mistake.
func New(name string) *Point {
	if points[name] != nil {
		panic("failpoint " + name + " exists")
	}
	p := &Point{name: name}
	points[name] = p
	return p
}

// Names of the points of the packages that are linked in.
func Names() []string { return slices.Sorted(maps.Keys(points)) }

// Hit says that a point is reached. What it is armed with happens in the caller's goroutine.
func (p *Point) Hit() {
	switch p.due() {
	case Kill:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case Stop:
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case Wait:
		for steered.Reached(p.name) {
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// due is what happens now; "": nothing.
func (p *Point) due() (a Action) {
	if steered == "" {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	path := steered.path(p.name)
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if string(text) != p.armed {
		p.armed, p.hits = string(text), 0
	}
	hit := 0
	if _, err := fmt.Sscan(string(text), &a, &hit); err != nil {
		panic(fmt.Sprintf("failpoint: %s has %q", path, text))
	}
	if p.hits++; p.hits < hit {
		return ""
	}
	if os.Rename(path, path+reached) != nil { // it was disarmed
		return ""
	}
	return a
}
