// Package files is the capabilities fs.read, fs.list and fs.write.
//
// A grant names directories and single files. They are opened once, when it comes
// into force, and every path a guest names is resolved by the kernel beneath one of
// those descriptors (openat2 with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS): what
// leads out, by "..", by a symbolic link or by a rename in between, does not
// resolve. Where openat2 is missing or forbidden, a walk that opens one component
// at a time without following anything gives the same answers; nothing ever falls
// back to opening a path as a whole.
//
// Only regular files are read and written, and none of a kernel's own file systems
// such as /proc, whatever is granted.
//
// The package has no goroutines. A file system that hangs (a dead network mount)
// holds the call's goroutine until it does not.
package files
