package cpython

/*
#cgo CFLAGS: -std=gnu11 -O2 -g -Wall -Wextra -Wno-cast-function-type -fstack-protector-strong -D_FORTIFY_SOURCE=3
#cgo LDFLAGS: -ldl -lpthread -Wl,-z,relro,-z,now
#include <stdlib.h>
#include "frozen.h"
#include "layers.h"
#include "thread.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
)

// Runtime is CPython in this process.
type Runtime struct {
	mu      sync.Mutex
	threads map[uint64]*Thread
	nextID  atomic.Uint64
}

var load struct {
	sync.Mutex
	lib     string
	runtime *Runtime
}

// Start names how interpreters begin.
type Start string

// The ways to start. An empty Start is the default, Lazy; a Python that these
// are not known for starts plainly.
const (
	Plain Start = "plain" // as CPython does it
	Slim  Start = "slim"  // bootstrap modules from memory
	Lazy  Start = "lazy"  // and the import system only when needed
)

var starts = map[Start]C.int{"": C.FROZEN_LAZY, Plain: C.FROZEN_PLAIN, Slim: C.FROZEN_SLIM, Lazy: C.FROZEN_LAZY}

// Load opens libpython at lib and starts it with its standard library. A second
// call with the same lib returns the same Runtime; another lib is refused, as a
// process holds one CPython.
func Load(lib, home, stdlib string, start Start) (*Runtime, error) {
	begin, known := starts[start]
	if !known {
		return nil, fmt.Errorf("start %q is not known: use %q, %q or %q", start, Plain, Slim, Lazy)
	}
	load.Lock()
	defer load.Unlock()
	if load.runtime != nil {
		if load.lib != lib {
			return nil, fmt.Errorf("load %s: this process already runs %s", lib, load.lib)
		}
		return load.runtime, nil
	}
	var msg [512]C.char
	clib, chome, cstdlib := C.CString(lib), C.CString(home), C.CString(stdlib)
	// CPython keeps home; the three are leaked once on purpose.
	if C.thread_runtime(clib, chome, cstdlib, begin, &msg[0], C.size_t(len(msg))) != 0 {
		return nil, errors.New(C.GoString(&msg[0]))
	}
	reaper := os.NewFile(uintptr(C.thread_reaper_fd()), "pyisolate-reaper")
	rt := &Runtime{threads: make(map[uint64]*Thread)}
	go rt.reap(reaper)
	load.lib, load.runtime = lib, rt
	return rt, nil
}

// Layers are what threads put on, in the encodings of packages kernel/landlock and
// kernel/seccomp; an empty one is left out.
type Layers struct {
	Landlock, Seccomp []byte
	// Notify is the filter that leaves paths to a supervisor, which takes each thread's
	// listener at the socket Listeners.
	Notify    []byte
	Listeners int
}

// Confine has every thread that is started from now on put on these layers. It is called
// once, before the first Start.
func (rt *Runtime) Confine(l Layers) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.nextID.Load() > 0 {
		return errors.New("confine cells: some run already")
	}
	bytes := func(b []byte) (unsafe.Pointer, C.size_t) {
		return unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b))
	}
	landlock, landlockN := bytes(l.Landlock)
	seccomp, seccompN := bytes(l.Seccomp)
	notify, notifyN := bytes(l.Notify)
	var msg [512]C.char
	if C.layers_prepare(landlock, landlockN, seccomp, seccompN, &msg[0], C.size_t(len(msg))) != 0 ||
		C.layers_prepare_notify(notify, notifyN, &msg[0], C.size_t(len(msg))) != 0 {
		return errors.New(C.GoString(&msg[0]))
	}
	C.thread_listeners = C.int(l.Listeners)
	return nil
}

// reap runs for the process's life.
func (rt *Runtime) reap(bell *os.File) {
	var count [8]byte
	for {
		if _, err := bell.Read(count[:]); err != nil {
			return
		}
		for id := uint64(C.thread_reap()); id != 0; id = uint64(C.thread_reap()) {
			rt.mu.Lock()
			t := rt.threads[id]
			delete(rt.threads, id)
			rt.mu.Unlock()
			if t != nil {
				t.finish()
			}
		}
	}
}

// Start begins a cell thread on r and returns without waiting for it. The region
// must stay mapped until Done is closed.
func (rt *Runtime) Start(r *ring.Region) (*Thread, error) {
	id := rt.nextID.Add(1)
	t := &Thread{region: r}
	t.life, t.over = context.WithCancel(context.Background())
	rt.mu.Lock()
	defer rt.mu.Unlock() // before the thread can end
	ptr, err := C.thread_start(r.Base(), C.size_t(r.Size()), C.int(r.BellFD()), C.uint64_t(id))
	if ptr == nil {
		return nil, fmt.Errorf("start a cell thread: %w", err)
	}
	t.c = ptr
	rt.threads[id] = t
	return t, nil
}

// Thread is one cell's thread.
type Thread struct {
	region *ring.Region
	life   context.Context
	over   context.CancelFunc // of life

	mu     sync.Mutex
	c      unsafe.Pointer // nil once ended
	killed time.Time      // when it was first; zero: it was not
	before time.Duration  // what it had used of the processor then
	poking bool           // a timer is running
	cpu    time.Duration  // as last seen
}

func (t *Thread) finish() {
	t.mu.Lock()
	C.thread_free(t.c)
	t.c = nil
	t.mu.Unlock()
	t.over()
}

// Interrupt raises in the guest until operation op is over.
func (t *Thread) Interrupt(op uint64, reason cell.Kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.c != nil {
		t.region.Interrupt(op, uint8(reason))
		t.poke()
	}
}

// Kill unwinds the guest and ends the thread. A guest that stays in C code is
// not ended, but given the least of the processor: see Stuck.
func (t *Thread) Kill() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.killed.IsZero() && t.c != nil {
		t.killed, t.before = time.Now(), t.used()
	}
	t.poke()
}

// pokeAgain is the pause between two attempts to stop a guest that sleeps where
// only a signal at the right moment wakes it.
const pokeAgain = 20 * time.Millisecond

// poke is called under mu.
func (t *Thread) poke() {
	if t.c == nil {
		return
	}
	again := false
	if !t.killed.IsZero() {
		again = C.thread_kill(t.c) != 0
	} else {
		again = C.thread_interrupt(t.c) != 0
	}
	if !again || t.poking {
		return
	}
	t.poking = true
	time.AfterFunc(pokeAgain, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.poking = false
		t.poke()
	})
}

// Task is the cell's thread, as this process's PID namespace numbers it.
func (t *Thread) Task() int { return t.region.Account().TID }

// Done is closed when the thread is gone and touches its region no more.
func (t *Thread) Done() <-chan struct{} { return t.life.Done() }

// WhenDone has f called then, in a goroutine of its own.
func (t *Thread) WhenDone(f func()) { context.AfterFunc(t.life, f) }

// Err is always nil: a thread ends in order or not at all.
func (t *Thread) Err() error { return nil }

// What makes a thread that was killed count as stuck: so much of a processor, which is
// more than an end takes, or so much time, in which a busy machine gives it one.
const (
	stuckCPU  = 200 * time.Millisecond
	stuckTime = 3 * time.Second
)

// Stuck reports that the thread was killed and will not end: it has said so, or has had
// the processor or the time to. Only the end of the process will end it; meanwhile it runs
// at idle priority.
func (t *Thread) Stuck() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.c == nil || t.killed.IsZero() {
		return false
	}
	if t.region.Account().State != ring.Failed && t.used()-t.before < stuckCPU && time.Since(t.killed) < stuckTime {
		return false
	}
	for _, tid := range t.region.Threads() {
		// SCHED_IDLE: it still burns what nobody else wants.
		_ = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: schedIdle}, 0)
	}
	return true
}

// CPU is the time its threads have used, those of the guest included.
func (t *Thread) CPU() (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used(), nil
}

// used is called under mu.
func (t *Thread) used() time.Duration {
	if t.c == nil {
		return t.cpu
	}
	sum := t.region.ThreadsCPU()
	for _, tid := range t.region.Threads() {
		var ts unix.Timespec
		if unix.ClockGettime(threadClock(tid), &ts) == nil {
			sum += time.Duration(ts.Nano())
		}
	}
	t.cpu = max(t.cpu, sum) // a thread may end between the two readings
	return t.cpu
}

const schedIdle = 5 // SCHED_IDLE

// threadClock is the kernel's CPU clock id of a thread: see CPUCLOCK_* in
// linux/posix-timers.h.
func threadClock(tid int) int32 {
	const perThread, sched = 4, 2
	return int32(^tid<<3 | perThread | sched)
}
