package ring

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// futexWakeOp is FUTEX_WAKE without FUTEX_PRIVATE_FLAG: the sleeper may be in
// another process.
const futexWakeOp = 1

// futexWake wakes all sleepers on w. There is nothing to do about an error: the
// word is mapped and aligned.
func futexWake(w *atomic.Uint32) {
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWakeOp, 1<<30, 0, 0, 0)
}

// announce stores v so that what is loaded next is loaded after it: both ends
// first say what they did and then look whether the other sleeps. It swaps
// because the race detector turns a Store into a mere release.
func announce(w *atomic.Uint32, v uint32) { w.Swap(v) }
