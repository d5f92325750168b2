package hostile

import (
	"slices"

	"github.com/pyisolate/pyisolate/cell"
)

// family is a kind of attack; its programs are in testdata/NAME.
type family struct {
	name   string
	title  string
	probes []probe
}

// probe is one technique.
type probe struct {
	// name is also the program's, without .py.
	name string
	// what it tries, in a few words, for the matrix.
	what string
	// imports are granted. Nil is "*": a guest that was granted everything there is.
	imports []string
	limits  cell.Limits
	// alone gives it a tenant of its own: it is expected to end its host, or what its
	// host uses is measured.
	alone bool
	// calls are made on the cell's thread instead of running a program.
	calls []call
	// refused is that no canary would notice it: the kernel must not answer any of the
	// calls with success. Where there is no layer that is nothing to ask for.
	refused bool
	// elsewhere is that they are made on another thread of the cell's process.
	elsewhere bool
	// fatal is that the kernel ends who tries, with all its process: the tenant's other
	// cells are not asked afterwards. See SECURITY.md, "Everything that fails".
	fatal bool
	// ends is the class of the exception that the program is right to end with, of those
	// that otherwise show that it is wrong.
	ends string
	// through says where the technique succeeds, and why that is so. Everywhere else it
	// must not.
	through []passage
	// only names the one backend that the probe is about; elsewhere it is not tried.
	only cell.Backend
}

// passage is where a technique gets through. Empty fields match all.
type passage struct {
	backend cell.Backend
	stacks  []string
	why     string
}

func (p probe) passes(c column) (passage, bool) {
	for _, w := range p.through {
		if (w.backend == "" || w.backend == c.backend) && (w.stacks == nil || slices.Contains(w.stacks, c.stack)) {
			return w, true
		}
	}
	return passage{}, false
}

// The words of the matrix.
const (
	held    = "held"
	limited = "held by limit"
	through = "**gets through**"
	untried = "n/a"
)
