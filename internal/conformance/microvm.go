package conformance

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Requests to /dev/kvm and the only version of its interface, from linux/kvm.h.
const (
	kvmGetVersion = 0xAE00
	kvmCreate     = 0xAE01
	kvmVersion    = 12
)

func tryKVM(context.Context, *scene) (string, error) {
	fd, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open /dev/kvm: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	version, err := unix.IoctlRetInt(fd, kvmGetVersion)
	if err != nil {
		return "", fmt.Errorf("ask /dev/kvm for its version: %w", err)
	}
	if version != kvmVersion {
		return "", fmt.Errorf("the interface of /dev/kvm has version %d, %d is known", version, kvmVersion)
	}
	machine, err := unix.IoctlRetInt(fd, kvmCreate)
	if err != nil {
		return "", fmt.Errorf("make a virtual machine: %w", err)
	}
	return "a virtual machine was made", unix.Close(machine)
}

// monitors are programs that run virtual machines.
func monitors() []string {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	return []string{"firecracker", "cloud-hypervisor", "qemu-system-" + arch}
}

func tryMonitor(ctx context.Context, _ *scene) (string, error) {
	for _, name := range monitors() {
		out, err := exec.CommandContext(ctx, name, "--version").Output()
		if err == nil {
			first, _, _ := strings.Cut(string(out), "\n")
			return name + " --version: " + first, nil
		}
		if !errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("%s --version: %w", name, err)
		}
	}
	return "", fmt.Errorf("none of %s is installed", strings.Join(monitors(), ", "))
}
