package netlab

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	deviceName  = "lab0"
	deviceQueue = 4096 // packets that the kernel keeps until this program reads them
)

// openDevice makes the calling thread's namespace a machine with an address: its loopback and a
// TUN device, which is returned, are up.
func openDevice(address netip.Addr) (*os.File, error) {
	// It has to be a TUN device before the runtime's poller hears of the descriptor.
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	if err := configure(fd, address); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tun:"+address.String()), nil
}

func configure(tun int, address netip.Addr) error {
	device, err := unix.NewIfreq(deviceName)
	if err != nil {
		return err
	}
	device.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, device); err != nil {
		return fmt.Errorf("make the device %s: %w", deviceName, err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(s) }()
	ip := address.As4()
	mask := [4]byte{255, 255, 255, 0}
	for _, step := range []struct {
		what, name string
		request    uint
		set        func(*unix.Ifreq) error
	}{
		{"bring the loopback up", "lo", unix.SIOCSIFFLAGS, up},
		{"set the address", deviceName, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(ip[:]) }},
		{"set the mask", deviceName, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask[:]) }},
		{"set the largest packet", deviceName, unix.SIOCSIFMTU, number(mtu)},
		{"set the queue's length", deviceName, unix.SIOCSIFTXQLEN, number(deviceQueue)},
		{"bring the device up", deviceName, unix.SIOCSIFFLAGS, up},
	} {
		r, err := unix.NewIfreq(step.name)
		if err != nil {
			return err
		}
		if err := step.set(r); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if err := unix.IoctlIfreq(s, step.request, r); err != nil {
			return fmt.Errorf("%s of %s: %w", step.what, step.name, err)
		}
	}
	return nil
}

func up(r *unix.Ifreq) error {
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return nil
}

func number(n uint32) func(*unix.Ifreq) error {
	return func(r *unix.Ifreq) error {
		r.SetUint32(n)
		return nil
	}
}
