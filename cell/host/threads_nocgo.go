//go:build !cgo

package host

// NewThreads is nil without cgo: that backend is refused then.
var NewThreads func(Dist) (Executor, error)
