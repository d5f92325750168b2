//go:build cgo

package host

import (
	"github.com/pyisolate/pyisolate/cell/cpython"
	"github.com/pyisolate/pyisolate/cell/ring"
)

// threads is the executor of backend "subinterpreter".
type threads struct{ runtime *cpython.Runtime }

// NewThreads loads CPython into this process. Closing the executor does not
// unload it.
func NewThreads(d Dist) (Executor, error) {
	rt, err := cpython.Load(d.Lib, d.Home, d.Stdlib, cpython.Start(d.Start))
	if err != nil {
		return nil, err
	}
	if err := rt.Confine(cpython.Layers{Landlock: d.Landlock, Seccomp: d.Seccomp, Notify: d.Notify, Listeners: NotifyFD}); err != nil {
		return nil, err
	}
	return threads{rt}, nil
}

func (t threads) Start(r *ring.Region) (Worker, error) { return t.runtime.Start(r) }

func (t threads) Close() error { return nil }
