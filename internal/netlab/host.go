package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// mtu is that of jumbo frames: fewer packets for the same bytes.
const mtu = 9000

// errClosed is of a machine after Lab.Close.
var errClosed = errors.New("netlab: the network is closed")

// Host is a machine: a network namespace with an address.
type Host struct {
	name    string
	address netip.Addr
	device  *os.File
	tasks   chan func()
	closed  chan struct{}
	once    sync.Once
	ended   chan struct{}

	mu     sync.Mutex
	failed error
}

func newHost(name string, address netip.Addr) (*Host, error) {
	h := &Host{name: name, address: address, tasks: make(chan func()), closed: make(chan struct{}), ended: make(chan struct{})}
	ready := make(chan error)
	go h.live(ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	return h, nil
}

// live is the machine's thread. It is never unlocked, and so ends with the goroutine: no other
// one ever runs in the namespace.
func (h *Host) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() { // the first thread of a process does not end with a goroutine
		defer runtime.UnlockOSThread()
		other := make(chan error)
		go h.live(other)
		ready <- <-other
		return
	}
	defer close(h.ended)
	var err error
	if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
		err = fmt.Errorf("make a network namespace: %w", err)
	} else {
		h.device, err = openDevice(h.address)
	}
	ready <- err
	if err != nil {
		return
	}
	for {
		select {
		case task := <-h.tasks:
			task()
		case <-h.closed:
			return
		}
	}
}

// Name is as New was told.
func (h *Host) Name() string { return h.name }

// Address of the machine in its network.
func (h *Host) Address() netip.Addr { return h.address }

// Do calls a function on a thread that is on the machine: sockets that it opens itself, and not
// in other goroutines, are the machine's. Others wait meanwhile.
func (h *Host) Do(what func() error) error {
	done := make(chan error, 1)
	select {
	case h.tasks <- func() { done <- what() }:
		return <-done
	case <-h.closed:
		return errClosed
	}
}

// Start starts a program on the machine. With SysProcAttr.Pdeathsig it ends with the Lab.
func (h *Host) Start(c *exec.Cmd) error { return h.Do(c.Start) }

// Err is why the machine's network does not work any more, or nil.
func (h *Host) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

func (h *Host) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == nil {
		h.failed = err
	}
}

func (h *Host) close() error {
	err := h.Err()
	h.once.Do(func() {
		close(h.closed)
		<-h.ended
		err = errors.Join(err, h.device.Close())
	})
	return err
}
