package hostile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// call is one system call by a guest with corrupted memory.
type call struct {
	number uint64
	data   func(*canaries) []byte // put where data points to
	args   [6]uint64
	i386   bool // by the way of 32-bit programs
}

// Arguments that are known only when the call is made.
const (
	dataArgument   = 1 << 60 // where data is
	bufferArgument = 1 << 61 // where what was read is looked for
	pairArgument   = 1 << 59 // the descriptor that the first call has put there
	pageArgument   = 1 << 62 // the page that both are in
	resultArgument = 1 << 63 // plus i: what call i answered
)

var (
	errKilled   = errors.New("the kernel ended the process")
	errDone     = errors.New("the kernel did it")
	errNoTracer = errors.New("nobody may trace here")
)

// thread finds the thread of a cell, anywhere on the machine, by the name that the guest
// gave it; or a sleeping other one of its process.
func thread(t *testing.T, comm string, backend cell.Backend, elsewhere bool) int {
	t.Helper()
	for _, path := range must1(filepath.Glob("/proc/[0-9]*/task/[0-9]*/comm")) {
		if name, _ := os.ReadFile(path); strings.TrimSpace(string(name)) != comm {
			continue
		}
		if !elsewhere {
			return base(t, filepath.Dir(path))
		}
		for _, other := range must1(filepath.Glob(filepath.Join(filepath.Dir(path), "../*/comm"))) {
			name, _ := os.ReadFile(other)
			status, _ := os.ReadFile(filepath.Join(filepath.Dir(other), "status"))
			call, _ := os.ReadFile(filepath.Join(filepath.Dir(other), "syscall"))
			inCell := strings.HasPrefix(string(name), "pyisolate-cell") && backend == cell.SubInterpreter
			if !inCell && strings.TrimSpace(string(name)) != comm && strings.Contains(string(status), "State:\tS") &&
				strings.HasPrefix(string(call), "202 ") { // futex
				return base(t, filepath.Dir(other))
			}
		}
	}
	return 0
}

func base(t *testing.T, dir string) (tid int) {
	t.Helper()
	_, err := fmt.Sscan(filepath.Base(dir), &tid)
	must(t, err)
	return tid
}
