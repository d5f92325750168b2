package numa

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ownCPUs are the processors of the process's first thread. They are asked for once, before
// there is a Topology: later On may have that thread on a node for a moment.
var ownCPUs = sync.OnceValues(func() (unix.CPUSetDynamic, error) {
	cpus := unix.NewCPUSet(maxCPUs)
	err := unix.SchedGetaffinityDynamic(os.Getpid(), cpus)
	return cpus, err
})

// allowedHere tells what the process may use: its processors and the memory of its cpuset.
func allowedHere() (allowed, error) {
	cpus, err := ownCPUs()
	if err != nil {
		return allowed{}, fmt.Errorf("numa: ask for this process's processors: %w", err)
	}
	var nodes nodeSet
	if err := getMemory(nil, &nodes, unix.MPOL_F_MEMS_ALLOWED); err != nil {
		return allowed{}, fmt.Errorf("%w: ask for this process's nodes: %w", ErrUnsupported, err)
	}
	return allowed{cpu: cpus.IsSet, memory: nodes.has}, nil
}

// On calls f on a thread whose processors are node's and whose memory comes from node first,
// and puts the thread back as it was. A process that f itself starts, and not a goroutine
// of it, begins so. Errors are f's; ErrNoNode, before f is called, for a node that hosts cannot
// be on; and what the kernel refuses.
func (t Topology) On(node int, f func() error) error {
	n, err := t.node(node)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	before, err := placed()
	if err == nil {
		if err = n.bind(); err == nil {
			err = f()
		}
		if back := before.restore(); back != nil {
			// Nobody else gets this thread. It is not ended, since children may be bound
			// to its life.
			return errors.Join(err, fmt.Errorf("numa: put a thread back as it was: %w", back))
		}
	}
	runtime.UnlockOSThread()
	return err
}

// bind is for the calling thread.
func (n Node) bind() error {
	cpus := unix.NewCPUSet(maxCPUs)
	for _, cpu := range n.CPUs {
		cpus.Set(cpu)
	}
	if err := unix.SchedSetaffinityDynamic(0, cpus); err != nil {
		return fmt.Errorf("numa: run on the processors of node %d: %w", n.ID, err)
	}
	if n.Memory == 0 {
		return nil // the kernel takes what is nearest to the processor
	}
	var nodes nodeSet
	nodes.add(n.ID)
	if err := setMemory(unix.MPOL_PREFERRED, &nodes); err != nil {
		return fmt.Errorf("numa: prefer the memory of node %d: %w", n.ID, err)
	}
	return nil
}

// state is where a thread is placed.
type state struct {
	cpus  unix.CPUSetDynamic
	mode  int32
	nodes nodeSet
}

func placed() (state, error) {
	s := state{cpus: unix.NewCPUSet(maxCPUs)}
	if err := unix.SchedGetaffinityDynamic(0, s.cpus); err != nil {
		return s, fmt.Errorf("numa: ask for a thread's processors: %w", err)
	}
	if err := getMemory(&s.mode, &s.nodes, 0); err != nil {
		return s, fmt.Errorf("numa: ask for a thread's memory: %w", err)
	}
	return s, nil
}

func (s state) restore() error {
	return errors.Join(unix.SchedSetaffinityDynamic(0, s.cpus), setMemory(s.mode, &s.nodes))
}

// nodeSet is a nodemask. x/sys gives the kernel its size in bytes where bits are meant.
type nodeSet [maxNodes / 64]uint64

func (s *nodeSet) add(node int)      { s[node/64] |= 1 << (node % 64) }
func (s *nodeSet) has(node int) bool { return s[node/64]&(1<<(node%64)) != 0 }

// maskBits is what the kernel wants for a mask of maxNodes: it takes one away.
const maskBits = maxNodes + 1

func setMemory(mode int32, nodes *nodeSet) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, uintptr(mode), uintptr(unsafe.Pointer(nodes)), maskBits); e != 0 {
		return e
	}
	return nil
}

func getMemory(mode *int32, nodes *nodeSet, flags uintptr) error {
	_, _, e := unix.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(mode)), uintptr(unsafe.Pointer(nodes)), maskBits, 0, flags, 0)
	if e != 0 {
		return e
	}
	return nil
}
