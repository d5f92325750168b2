// Package cpython runs cells in CPython. It is the project's only cgo package,
// and only cell/host imports it, so nothing of the node's control plane maps
// libpython.
//
// Go meets Python at one place: a shared-memory region (package ring) per cell.
// [Runtime.Start] starts a C thread that creates a sub-interpreter with its own
// GIL and serves frames from the region until it is closed or killed; there is
// no Go callback and no cgo call per message. The thread owns a table of file
// descriptors of its own, blocks all signals but the fatal ones and one that
// only wakes it, and accounts every byte of its interpreter's memory.
//
// The same C code serves the process backend: a process that is started under
// the name "pyisolate-zygote" never reaches the Go runtime. A C constructor keeps
// it, starts CPython, and forks one child per cell onto such regions; under the name
// "pyisolate-cell" it becomes one cell itself. Another constructor has a process
// called "pyisolate-host-subinterpreter" drop all capabilities.
//
// Threads: Load once per process. A Runtime's and a Thread's methods may be
// called from any goroutine. One goroutine per Runtime reaps ended threads; it
// lives as long as the process, as CPython cannot be unloaded.
package cpython

//go:generate go run embedguest.go
//go:generate go run frozen_embed.go
