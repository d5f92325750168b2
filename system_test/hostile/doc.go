// Package hostile attacks cells by what is known to work against sandboxes of Python: each
// probe is a guest program of testdata, or system calls that a guest with corrupted memory
// would make, run in a cell of its own on every backend and stack of layers.
//
// A probe is judged by canaries outside of the guest: a secret that must not be posted,
// files that must not change, sockets that nobody may reach, a process that must live, and
// the other cells, which must go on answering with their own values. That an exception was
// raised proves nothing and is not looked at.
//
// The outcomes are docs/hostile-matrix.md, written by go test -run TestHostile -update.
package hostile
