package host

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/ring"
)

// control is a process that was started for cells, and the socket it is told
// over what to do: a zygote, or a cell that is executed afresh.
// cell/cpython/control.h has the protocol.
type control struct {
	cmd    *exec.Cmd
	sock   *os.File // SOCK_SEQPACKET
	noUser string   // why it gives cells no user of their own, or ""
}

// controlTimeout bounds the start of a process and its answer to one request.
const controlTimeout = 20 * time.Second

// errPython: the process began and Python did not. Another would meet the same.
var errPython = errors.New("python did not start")

// startControl starts cmd and waits until it has Python. uid is one of the users
// that cells are to have, or 0.
func startControl(cmd *exec.Cmd, d Dist, uid uint32) (*control, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("create control socket: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control-end")
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), unix.Close(fds[0]), theirs.Close())
	}
	c := &control{cmd: cmd, sock: os.NewFile(uintptr(fds[0]), "control")}
	cmd.ExtraFiles = []*os.File{theirs}
	if len(d.Notify) > 0 {
		listeners, err := duplicate(NotifyFD)
		if err != nil {
			return nil, errors.Join(err, theirs.Close(), c.sock.Close())
		}
		defer func() { _ = listeners.Close() }()
		cmd.ExtraFiles = append(cmd.ExtraFiles, listeners)
	}
	err = cmd.Start()
	_ = theirs.Close() // held here, it would keep the socket from telling of the process's death
	if err != nil {
		return nil, errors.Join(err, c.sock.Close())
	}
	if err := c.configure(d, uid); err != nil {
		return nil, errors.Join(err, c.abandon())
	}
	return c, nil
}

func duplicate(fd int) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor %d: %w", fd, err)
	}
	return os.NewFile(uintptr(n), "listeners"), nil
}

// abandon kills the process and says how it ended.
func (c *control) abandon() error {
	c.kill()
	exit := c.cmd.Wait()
	return errors.Join(exit, c.sock.Close())
}

func (c *control) kill() { _ = c.cmd.Process.Kill() }

func (c *control) configure(d Dist, uid uint32) error {
	writes := "0"
	if d.Writes {
		writes = "1"
	}
	packet := strings.Join([]string{"home=" + d.Home, "lib=" + d.Lib, "stdlib=" + d.Stdlib,
		"preload=" + strings.Join(d.Preload, ","), "writes=" + writes, "uid=" + strconv.FormatUint(uint64(uid), 10),
		"landlock=" + strconv.Itoa(len(d.Landlock)), "seccomp=" + hex.EncodeToString(d.Seccomp),
		"notify=" + hex.EncodeToString(d.Notify)}, "\x00")
	if err := c.sock.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	rules, err := memory(d.Landlock)
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	err = c.send([]byte(packet), int(rules.Fd()))
	if err = errors.Join(err, rules.Close()); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	buf := make([]byte, 64<<10)
	n, err := c.sock.Read(buf)
	if err != nil {
		return fmt.Errorf("wait until ready: %w", err)
	}
	words := bytes.Split(bytes.TrimRight(buf[:n], "\x00"), []byte{0})
	if string(words[0]) != "ready" {
		return fmt.Errorf("%w: %s", errPython, bytes.Join(words[1:], []byte{' '}))
	}
	if len(words) > 2 {
		c.noUser = string(words[2])
	}
	if err := c.sock.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear deadline: %w", err)
	}
	return nil
}

// The packets, little-endian. A request is op, id, clone flags wanted and had, uid
// and whether that is the cell's alone; a reply is op, id, pid or wait status,
// errno, clone flags granted.
const (
	opStart      = 1
	opReaped     = 2
	requestBytes = 4 + 4 + 8 + 8 + 4 + 4
	replyBytes   = 4 + 4 + 4 + 4 + 8
)

// order is a cell that is wanted.
type order struct {
	id         uint32
	namespaces uint64 // CLONE_NEW* flags
	begun      uint64 // those that the process has
	uid        uint32 // 0: the host's own
	own        bool   // no other cell has uid
}

// request asks for a cell on the region.
func (c *control) request(o order, r *ring.Region) error {
	var p [requestBytes]byte
	binary.LittleEndian.PutUint32(p[0:], opStart)
	binary.LittleEndian.PutUint32(p[4:], o.id)
	binary.LittleEndian.PutUint64(p[8:], o.namespaces)
	binary.LittleEndian.PutUint64(p[16:], o.begun)
	binary.LittleEndian.PutUint32(p[24:], o.uid)
	if o.own {
		p[28] = 1
	}
	return c.send(p[:], r.MemFD(), r.BellFD())
}

// send sends a packet with descriptors.
func (c *control) send(packet []byte, fds ...int) error {
	raw, err := c.sock.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), packet, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	return errors.Join(err, sendErr)
}

// memory is a file that has data and no name.
func memory(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("pyisolate-rules", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "rules")
	if _, err := f.Write(data); err != nil {
		return nil, errors.Join(fmt.Errorf("write a file in memory: %w", err), f.Close())
	}
	return f, nil
}

// reply is what comes back, in time or unasked.
type reply struct {
	op, id  uint32
	value   int // pid, or the wait status
	errno   int
	granted uint64
	pidfd   int // -1: none came
}

// receive waits for the next reply.
func (c *control) receive() (reply, error) {
	raw, err := c.sock.SyscallConn()
	if err != nil {
		return reply{}, err
	}
	p, oob := make([]byte, replyBytes), make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	var recvErr error
	err = raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, recvErr = unix.Recvmsg(int(fd), p, oob, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(recvErr, unix.EAGAIN)
	})
	if err = errors.Join(err, recvErr); err != nil {
		return reply{}, err
	}
	pidfd := firstFD(oob[:oobn])
	if n != replyBytes {
		closeFD(pidfd)
		return reply{}, fmt.Errorf("host: a packet of %d bytes on the control socket", n)
	}
	return reply{op: binary.LittleEndian.Uint32(p), id: binary.LittleEndian.Uint32(p[4:]),
		value: int(int32(binary.LittleEndian.Uint32(p[8:]))), errno: int(int32(binary.LittleEndian.Uint32(p[12:]))),
		granted: binary.LittleEndian.Uint64(p[16:]), pidfd: pidfd}, nil
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
