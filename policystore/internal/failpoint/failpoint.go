// Package failpoint names the moments at which the store's crash tests end the process:
// after each write that a restart must make sense of. In a running node a point costs one
// atomic load; nothing outside tests arms one.
package failpoint

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

// Point is one moment. Make them in package variables.
type Point struct {
	name   string
	action atomic.Pointer[func()]
}

// points is written while packages initialise, and only read afterwards.
var points = map[string]*Point{}

// New registers a point. It panics when the name is taken, as a package variable's mistake.
func New(name string) *Point {
	if points[name] != nil {
		panic("failpoint " + name + " exists")
	}
	p := &Point{name: name}
	points[name] = p
	return p
}

// Hit runs what the point is armed with, in the caller's goroutine.
func (p *Point) Hit() {
	if action := p.action.Load(); action != nil {
		(*action)()
	}
}

// Arm makes a point run action each time it is reached; nil disarms it.
func Arm(name string, action func()) error {
	p := points[name]
	if p == nil {
		return fmt.Errorf("no failpoint %q; there are %v", name, Names())
	}
	if action == nil {
		p.action.Store(nil)
	} else {
		p.action.Store(&action)
	}
	return nil
}

// Names lists the points of the packages that are linked in.
func Names() []string { return slices.Sorted(maps.Keys(points)) }
