// Package pydist finds the CPython that cells run, and makes sure it is whole.
//
// By default that is the build embedded in the binary. [Resolve] unpacks it once
// per user into a cache directory: under a lock, into a temporary sibling that is
// renamed into place when complete, with a manifest of every file's SHA-256.
// Later calls check the manifest, and unpack again when anything changed on
// disk. With [Options].Python the caller names another CPython instead; it is
// judged by reading its ELF file, never by loading or running it.
//
// The command line and cell/launch call it in the node, before any host starts;
// it needs no C compiler and maps no Python code itself.
//
// Resolve may be called by any number of goroutines and processes at once. The
// only goroutine it starts reports progress and ends before Resolve returns. A
// process killed in the middle leaves a temporary directory that the next one
// to unpack removes.
//
// The directory a [Dist] names is to be treated as read-only: its .pyc files are
// compiled in advance and are not compared with their sources again.
package pydist
