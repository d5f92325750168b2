package notify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Receive takes one listener from a SOCK_SEQPACKET socket ("unixpacket") and the number
// that came with it, as layers_notify of cell/cpython sends them. The number is what a host
// says: who calls must know which it may say. Deadlines are the socket's.
func Receive(sock *net.UnixConn) (*os.File, uint64, error) {
	payload, control := make([]byte, 9), make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, _, err := sock.ReadMsgUnix(payload, control)
	if err != nil {
		return nil, 0, fmt.Errorf("notify: receive a listener: %w", err)
	}
	fds, err := rights(control[:oobn])
	if err == nil && (n != 8 || len(fds) != 1 || flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0) {
		err = fmt.Errorf("%d bytes and %d descriptors came", n, len(fds))
	}
	if err != nil {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return nil, 0, fmt.Errorf("notify: receive a listener: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "received listener"), binary.NativeEndian.Uint64(payload), nil
}

// rights returns the descriptors that came with a message; with an error those that did.
func rights(control []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, m := range messages {
		if len(m.Data)%4 != 0 { // x/sys would panic; the kernel sends no such thing
			return all, errors.New("a descriptor is cut")
		}
		fds, failed := unix.ParseUnixRights(&m)
		err = errors.Join(err, failed)
		all = append(all, fds...)
	}
	return all, err
}
