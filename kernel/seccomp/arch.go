package seccomp

//go:generate go run ./internal/numbersgen numbers.go

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Arch is an instruction set that there are filters for, by its Go name.
type Arch string

// The architectures. Both are little-endian, which the offsets of arguments rely on.
const (
	AMD64 Arch = "amd64"
	ARM64 Arch = "arm64"
)

// Arches are all that there are filters for.
var Arches = []Arch{AMD64, ARM64}

// Here returns the architecture of this process.
func Here() (Arch, error) {
	for _, a := range Arches {
		if string(a) == runtime.GOARCH {
			return a, nil
		}
	}
	return "", fmt.Errorf("seccomp: there is no filter for %s", runtime.GOARCH)
}

// audit is what seccomp_data.arch says for the architecture.
func (a Arch) audit() uint32 {
	if a == ARM64 {
		return unix.AUDIT_ARCH_AARCH64
	}
	return unix.AUDIT_ARCH_X86_64
}

// x32Bit marks calls of the x32 ABI, which amd64 gives the same audit architecture.
const x32Bit = 0x40000000

// number is a call's number on each architecture.
type number struct{ amd64, arm64 int }

const absent = -1

func (n number) on(a Arch) int {
	if a == ARM64 {
		return n.arm64
	}
	return n.amd64
}

// Number returns the number of a call on a, and whether it has the call.
func (a Arch) Number(name string) (int, bool) {
	n, ok := numbers[name]
	if !ok || n.on(a) == absent {
		return 0, false
	}
	return n.on(a), true
}

// names of the calls of a, by number.
func (a Arch) names() map[int]string {
	of := make(map[int]string, len(numbers))
	for name, n := range numbers {
		if n.on(a) != absent {
			of[n.on(a)] = name
		}
	}
	return of
}

// last is the highest number that the table knows for a.
func (a Arch) last() int {
	last := 0
	for _, n := range numbers {
		last = max(last, n.on(a))
	}
	return last
}
