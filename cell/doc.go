// Package cell is the contract between whoever runs untrusted Python and the
// thing that runs it: the seven operations, the limits, the error vocabulary
// and the [Cell] interface. It holds no mechanism and imports nothing of ours,
// so the actor layer, the API and the command line can speak about cells
// without a C compiler.
//
// A cell is claimed, runs, and ends exactly once; it is never reused. Every
// operation takes a context: its deadline is carried to the guest, and
// cancelling it interrupts the guest. All methods are safe for use by several
// goroutines; operations that run guest code (Exec, Call) are served one at a
// time in arrival order, and the others never wait for them.
//
// Values cross as opaque bytes with a content type ([Value]). Nothing outside a
// cell ever deserialises a guest object into anything but JSON.
//
// Compatibility: the operations and the error kinds are ABI v1. Kinds may be
// added; none changes its meaning.
package cell
