// Package vmtest runs test binaries, and other programs, under other kernels, in QEMU: it
// makes an initial file system of a small init, the binaries and the libraries they need,
// boots a kernel with it and reads from the serial line what was printed and how it ended.
// It needs no image, no network and no privilege. Command run, beside it, is `make
// test-kernel`.
//
// QEMU interprets the machine (TCG): a /dev/kvm that is there proves little. A boot takes
// some seconds and the tests some ten times as long as on the bare machine.
//
// [VM.Run] owns the QEMU process, which has ended when it returns.
package vmtest
