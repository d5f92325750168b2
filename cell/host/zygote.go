package host

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/ring"
)

// ZygoteName and FreshName are argv[0] of a zygote and of a cell that is executed
// afresh: the executable's C constructor looks at it and never lets the Go runtime
// begin.
const (
	ZygoteName = "pyisolate-zygote"
	FreshName  = "pyisolate-cell"
)

// ZygoteConfig is how backend "process" starts cells.
type ZygoteConfig struct {
	Dist
	// Namespaces are the CLONE_NEW* flags wanted for each cell; the zygote says
	// which it got.
	Namespaces uint64
	// FirstUID and UIDs are the users that cells may run as; UIDs 0 leaves them
	// this process's. It must be root then, with the capabilities for it.
	FirstUID, UIDs uint32
	// NoZygote executes each cell afresh.
	NoZygote bool
	// Command and Fresh make a zygote and a fresh cell, by default this executable
	// under ZygoteName or FreshName with no environment. Descriptor 3 becomes the
	// control socket.
	Command, Fresh func() *exec.Cmd
}

func ourselves(name string) func() *exec.Cmd {
	return func() *exec.Cmd {
		return &exec.Cmd{Path: "/proc/self/exe", Args: []string{name}, Env: []string{}, Stderr: os.Stderr}
	}
}

// Zygote is the executor of backend "process": a single-threaded process with
// Python initialised, which forks one child per cell. When it dies its cells
// end, and the next Start starts another. A cell that cannot be forked is executed
// afresh; so are all, for a while, when that happens often.
type Zygote struct {
	config    ZygoteConfig
	uids      *uids
	attending sync.WaitGroup // to the ends of executed cells

	mu       sync.Mutex
	current  *brood
	nextID   uint32
	closed   bool
	rest     rest
	spare    *fresh // of the start, to know that Python works
	executed map[*child]struct{}

	// What Without tells. The host's reader asks, and is not to wait for a zygote that starts.
	told             sync.Mutex
	noZygote, noUser string
}

var _ Executor = (*Zygote)(nil)

// NewZygote starts a zygote, or where there can be none a fresh cell, and waits
// until it is ready, so that a broken Python is known at once.
func NewZygote(c ZygoteConfig) (*Zygote, error) {
	if c.Command == nil {
		c.Command = ourselves(ZygoteName)
	}
	if c.Fresh == nil {
		c.Fresh = ourselves(FreshName)
	}
	z := &Zygote{config: c, uids: newUIDs(c.FirstUID, c.UIDs), executed: map[*child]struct{}{}}
	if c.UIDs > 0 {
		z.forbid(mayKill())
	}
	if c.NoZygote {
		z.rest.always, z.rest.last = true, "the configuration wants none"
	} else if _, err := z.live(); errors.Is(err, errPython) {
		return nil, err
	}
	if z.resting() {
		var err error
		if z.spare, err = z.startFresh(); err != nil {
			return nil, err
		}
	}
	return z, nil
}

var (
	errZygoteClosed = errors.New("host: the zygote is closed")
	errZygoteRests  = errors.New("host: the zygote fails too often")
	// errZygoteDied ends its cells and those being started. Another start may do.
	errZygoteDied = errors.New("its zygote died")
)

// live returns the running zygote, starting one if there is none.
func (z *Zygote) live() (*brood, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed {
		return nil, errZygoteClosed
	}
	if z.current != nil && !z.current.dead() {
		return z.current, nil
	}
	if z.current != nil {
		z.rest.failed(z.current.why, time.Now())
		z.current = nil
	}
	if z.rest.on(time.Now()) {
		return nil, errZygoteRests
	}
	b, err := hatch(z.config, z.uids.any())
	if err != nil {
		z.rest.begin(err, time.Now())
		return nil, err
	}
	z.forbid(b.noUser)
	z.current = b
	return b, nil
}

// forbid has all later cells run as the host does, for a reason that is not "".
func (z *Zygote) forbid(why string) {
	if why == "" {
		return
	}
	z.told.Lock()
	defer z.told.Unlock()
	z.noUser = why
	z.uids.forbid()
}

// Start has the zygote fork a child on the region. When it cannot, one is executed.
func (z *Zygote) Start(r *ring.Region) (Worker, error) {
	c, err := z.fork(r)
	if err == nil {
		return c, nil
	}
	for _, final := range []error{errZygoteClosed, errZygoteDied, errPython} {
		if errors.Is(err, final) {
			return nil, err
		}
	}
	return z.execute(r)
}

func (z *Zygote) fork(r *ring.Region) (*child, error) {
	b, err := z.live()
	if err != nil {
		return nil, err
	}
	o, err := z.order()
	if err != nil {
		return nil, err
	}
	c, err := b.fork(o, r)
	if err != nil {
		z.uids.give(o.uid)
		if !errors.Is(err, errZygoteDied) { // live counts the dead
			z.mu.Lock()
			z.rest.failed(err, time.Now())
			z.mu.Unlock()
		}
		return nil, err
	}
	c.belongTo(z, o)
	return c, nil
}

// order is for one more cell.
func (z *Zygote) order() (order, error) {
	uid, own, err := z.uids.take()
	if err != nil {
		return order{}, err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.nextID++
	return order{id: z.nextID, namespaces: z.config.Namespaces, uid: uid, own: own}, nil
}

func (z *Zygote) resting() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.rest.on(time.Now())
}

// Without says why cells were executed instead of forked, and why they have no
// user of their own; "" where that is not so.
func (z *Zygote) Without() (noZygote, noUser string) {
	z.told.Lock()
	defer z.told.Unlock()
	return z.noZygote, z.noUser
}

// Close ends the zygote and all cells.
func (z *Zygote) Close() error {
	z.mu.Lock()
	z.closed = true
	b, spare := z.current, z.spare
	z.spare = nil
	for c := range z.executed {
		c.Kill()
	}
	z.mu.Unlock()
	if spare != nil {
		_ = spare.abandon() // its exit is ours
	}
	if b != nil {
		b.kill()
		<-b.gone
	}
	z.attending.Wait()
	return nil
}

// brood is one zygote process and its children.
type brood struct {
	*control
	gone chan struct{}
	why  error // once gone is closed

	mu       sync.Mutex
	children map[uint32]*child
	forks    map[uint32]chan forked
}

// forked is the zygote's answer to one request.
type forked struct {
	errno int
	child *child
}

func hatch(c ZygoteConfig, uid uint32) (*brood, error) {
	started, err := startControl(c.Command(), c.Dist, uid)
	if err != nil {
		return nil, fmt.Errorf("host: start zygote: %w", err)
	}
	b := &brood{control: started, gone: make(chan struct{}), children: map[uint32]*child{}, forks: map[uint32]chan forked{}}
	go b.listen()
	return b, nil
}

func (b *brood) dead() bool {
	select {
	case <-b.gone:
		return true
	default:
		return false
	}
}

// fork has a child made on the region. An error that is not errZygoteDied means
// that nobody has seen the region.
func (b *brood) fork(o order, r *ring.Region) (*child, error) {
	answer := make(chan forked, 1)
	b.mu.Lock()
	b.forks[o.id] = answer
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.forks, o.id)
		b.mu.Unlock()
	}()
	if err := b.request(o, r); err != nil {
		b.kill()
		<-b.gone
		return nil, fmt.Errorf("host: ask zygote for a cell: %w: %w", err, b.why)
	}
	overdue := time.NewTimer(controlTimeout)
	defer overdue.Stop()
	select {
	case f := <-answer:
		if f.child == nil {
			return nil, fmt.Errorf("host: zygote could not fork a cell: %w", syscall.Errno(f.errno))
		}
		f.child.region.Store(r)
		return f.child, nil
	case <-b.gone:
		return nil, fmt.Errorf("host: zygote died while starting a cell: %w", b.why)
	case <-overdue.C:
		b.kill() // it is single-threaded: nothing will come any more
		<-b.gone
		return nil, fmt.Errorf("host: zygote did not answer within %s: %w", controlTimeout, b.why)
	}
}

// listen reads the zygote's packets until it is gone, then buries everybody.
func (b *brood) listen() {
	for {
		r, err := b.receive()
		if err != nil {
			break
		}
		b.packet(r)
	}
	b.kill()
	b.why = fmt.Errorf("%w: %w", errZygoteDied, describeExit(b.cmd.Wait()))
	_ = b.sock.Close()
	b.mu.Lock()
	orphans := b.children
	b.children = map[uint32]*child{}
	b.mu.Unlock()
	for _, c := range orphans {
		c.bereave(b.why)
	}
	close(b.gone)
}

// packet registers a child before anybody can wait for its end, or buries one.
func (b *brood) packet(r reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.op == opReaped {
		closeFD(r.pidfd)
		if c := b.children[r.id]; c != nil {
			delete(b.children, r.id)
			c.bury(describeStatus(unix.WaitStatus(uint32(r.value))))
		}
		return
	}
	answer := b.forks[r.id]
	f := forked{errno: r.errno}
	if r.errno != 0 || r.value <= 0 || r.pidfd < 0 {
		closeFD(r.pidfd)
		f.errno = cmp.Or(r.errno, int(unix.EPROTO))
	} else {
		f.child = newChild(startFork, r.value, r.pidfd, r.granted)
		b.children[r.id] = f.child
		if answer == nil { // the asker has given up
			f.child.Kill()
		}
	}
	if answer != nil {
		answer <- f
	}
}
