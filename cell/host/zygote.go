package host

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/ring"
)

// ZygoteName is argv[0] of a zygote: the executable's C constructor looks at it
// and never lets the Go runtime begin.
const ZygoteName = "pyisolate-zygote"

// ZygoteConfig is what a zygote is started with.
type ZygoteConfig struct {
	Dist
	// Namespaces are the CLONE_NEW* flags wanted for each cell; the zygote says
	// which it got.
	Namespaces uint64
	// Command starts it, by default this executable under ZygoteName with no
	// environment. Descriptor 3 becomes the control socket.
	Command func() *exec.Cmd
}

// Zygote is the executor of backend "process": a single-threaded process with
// Python initialised, which forks one child per cell. When it dies its cells
// end, and the next Start starts another.
type Zygote struct {
	config ZygoteConfig

	mu      sync.Mutex
	current *brood
	nextID  uint32
	closed  bool
}

var _ Executor = (*Zygote)(nil)

// NewZygote starts a zygote and waits until it is ready, so that a broken
// Python is known at once.
func NewZygote(c ZygoteConfig) (*Zygote, error) {
	if c.Command == nil {
		c.Command = func() *exec.Cmd {
			return &exec.Cmd{Path: "/proc/self/exe", Args: []string{ZygoteName}, Env: []string{}, Stderr: os.Stderr}
		}
	}
	z := &Zygote{config: c}
	_, err := z.live()
	return z, err
}

var errZygoteClosed = errors.New("host: the zygote is closed")

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
	b, err := hatch(z.config)
	if err != nil {
		return nil, err
	}
	z.current = b
	return b, nil
}

// Start asks the zygote for a child on the region.
func (z *Zygote) Start(r *ring.Region) (Worker, error) {
	b, err := z.live()
	if err != nil {
		return nil, err
	}
	z.mu.Lock()
	z.nextID++
	id := z.nextID
	z.mu.Unlock()
	return b.fork(id, z.config.Namespaces, r)
}

// Close ends the zygote and its children.
func (z *Zygote) Close() error {
	z.mu.Lock()
	z.closed = true
	b := z.current
	z.mu.Unlock()
	if b == nil {
		return nil
	}
	b.kill()
	<-b.gone
	return nil
}

// brood is one zygote process and its children.
type brood struct {
	cmd  *exec.Cmd
	sock *os.File // SOCK_SEQPACKET
	gone chan struct{}
	why  error // once gone is closed

	mu       sync.Mutex
	children map[uint32]*child
	forks    map[uint32]chan forked
}

// zygoteTimeout bounds the start of a zygote and the answer to one fork.
const zygoteTimeout = 20 * time.Second

func hatch(c ZygoteConfig) (*brood, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("host: create zygote socket: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "zygote-end")
	defer func() { _ = theirs.Close() }()
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, errors.Join(fmt.Errorf("host: zygote socket: %w", err), unix.Close(fds[0]))
	}
	b := &brood{cmd: c.Command(), sock: os.NewFile(uintptr(fds[0]), "zygote"), gone: make(chan struct{}),
		children: map[uint32]*child{}, forks: map[uint32]chan forked{}}
	b.cmd.ExtraFiles = []*os.File{theirs}
	if err := b.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("host: start zygote: %w", err), b.sock.Close())
	}
	if err := b.configure(c); err != nil {
		_ = b.cmd.Process.Kill()
		exit := b.cmd.Wait()
		return nil, errors.Join(fmt.Errorf("host: start zygote: %w", err), exit, b.sock.Close())
	}
	go b.listen()
	return b, nil
}

// configure sends NUL-separated key=value strings and awaits "ready\0pid" or
// "error\0text".
func (b *brood) configure(c ZygoteConfig) error {
	packet := strings.Join([]string{"home=" + c.Home, "lib=" + c.Lib, "stdlib=" + c.Stdlib,
		"start=" + c.Start, "preload=" + strings.Join(c.Preload, ",")}, "\x00")
	if err := b.sock.SetDeadline(time.Now().Add(zygoteTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := b.sock.Write([]byte(packet)); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	buf := make([]byte, 64<<10)
	n, err := b.sock.Read(buf)
	if err != nil {
		return fmt.Errorf("wait until ready: %w", err)
	}
	word, rest, _ := bytes.Cut(bytes.TrimRight(buf[:n], "\x00"), []byte{0})
	if string(word) != "ready" {
		return fmt.Errorf("python did not start: %s", rest)
	}
	if err := b.sock.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear deadline: %w", err)
	}
	return nil
}

func (b *brood) dead() bool {
	select {
	case <-b.gone:
		return true
	default:
		return false
	}
}

func (b *brood) kill() { _ = b.cmd.Process.Kill() }

// The packets, little-endian. A fork request is op, id, clone flags, four
// rlimits (0 leaves one alone), uid, gid; a reply is op, id, pid or wait
// status, errno, clone flags granted.
const (
	opFork       = 1
	opReaped     = 2
	requestBytes = 4 + 4 + 8 + 4*8 + 4 + 4
	replyBytes   = 4 + 4 + 4 + 4 + 8
)

// forked is the zygote's answer to one request.
type forked struct {
	pid, errno int
	granted    uint64
	pidfd      int
	child      *child
}

func (b *brood) fork(id uint32, flags uint64, r *ring.Region) (Worker, error) {
	answer := make(chan forked, 1)
	b.mu.Lock()
	b.forks[id] = answer
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.forks, id)
		b.mu.Unlock()
	}()
	var p [requestBytes]byte
	binary.LittleEndian.PutUint32(p[0:], opFork)
	binary.LittleEndian.PutUint32(p[4:], id)
	binary.LittleEndian.PutUint64(p[8:], flags)
	if err := b.sendPacket(p[:], unix.UnixRights(r.MemFD(), r.BellFD())); err != nil {
		return nil, fmt.Errorf("host: ask zygote for a cell: %w", err)
	}
	overdue := time.NewTimer(zygoteTimeout)
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
		return nil, fmt.Errorf("host: zygote did not answer within %s", zygoteTimeout)
	}
}

func (b *brood) sendPacket(p, rights []byte) error {
	raw, err := b.sock.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), p, rights, nil, unix.MSG_NOSIGNAL)
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	return errors.Join(err, sendErr)
}

// listen reads the zygote's packets until it is gone, then buries everybody.
func (b *brood) listen() {
	for {
		p, pidfd, err := b.receivePacket()
		if err != nil {
			break
		}
		b.packet(p, pidfd)
	}
	b.kill()
	b.why = describeExit("zygote", b.cmd.Wait())
	_ = b.sock.Close()
	b.mu.Lock()
	orphans := b.children
	b.children = map[uint32]*child{}
	b.mu.Unlock()
	for _, c := range orphans {
		c.Kill()
		c.bury(b.why)
	}
	close(b.gone)
}

func (b *brood) receivePacket() (p []byte, pidfd int, err error) {
	raw, err := b.sock.SyscallConn()
	if err != nil {
		return nil, -1, err
	}
	p = make([]byte, replyBytes)
	oob := make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	var recvErr error
	err = raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, recvErr = unix.Recvmsg(int(fd), p, oob, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(recvErr, unix.EAGAIN)
	})
	if err = errors.Join(err, recvErr); err != nil {
		return nil, -1, err
	}
	pidfd = firstFD(oob[:oobn])
	if n != replyBytes {
		closeFD(pidfd)
		return nil, -1, fmt.Errorf("host: zygote sent a packet of %d bytes", n)
	}
	return p, pidfd, nil
}

func firstFD(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return -1
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return -1
	}
	for _, fd := range fds[1:] {
		closeFD(fd)
	}
	return fds[0]
}

func closeFD(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}

// packet registers a child before anybody can wait for its end, or buries one.
func (b *brood) packet(p []byte, pidfd int) {
	id := binary.LittleEndian.Uint32(p[4:])
	b.mu.Lock()
	defer b.mu.Unlock()
	if binary.LittleEndian.Uint32(p) == opReaped {
		closeFD(pidfd)
		if c := b.children[id]; c != nil {
			delete(b.children, id)
			c.bury(describeStatus(unix.WaitStatus(binary.LittleEndian.Uint32(p[8:]))))
		}
		return
	}
	f := forked{pid: int(int32(binary.LittleEndian.Uint32(p[8:]))), errno: int(int32(binary.LittleEndian.Uint32(p[12:]))),
		granted: binary.LittleEndian.Uint64(p[16:]), pidfd: pidfd}
	answer := b.forks[id]
	if f.errno != 0 || f.pid <= 0 || pidfd < 0 {
		closeFD(pidfd)
		f.errno = max(f.errno, int(unix.EPROTO))
	} else {
		f.child = newChild(f)
		b.children[id] = f.child
		if answer == nil { // the asker has given up
			f.child.Kill()
		}
	}
	if answer != nil {
		answer <- f
	}
}
