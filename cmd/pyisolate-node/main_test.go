package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
	"github.com/pyisolate/pyisolate/kernel/stack"
	"github.com/pyisolate/pyisolate/node"
)

// mainEnv makes the test binary behave as the command.
const mainEnv = "PYISOLATE_TEST_MAIN"

func TestMain(m *testing.M) {
	node.Init() // a host is this binary under another first argument
	if os.Getenv(mainEnv) != "" {
		os.Exit(Main(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){
		"pyisolate-node":   func() { os.Exit(Main(os.Args[1:])) },
		"without-io-uring": func() { os.Exit(withoutURing(os.Args[1:])) },
	})
}

// withoutURing runs a command as on a kernel that refuses io_uring to it.
func withoutURing(args []string) int {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	path, err := exec.LookPath(args[0])
	err = errors.Join(err, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
		unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
	if err == nil {
		err = unix.Exec(path, args, os.Environ()) // does not return
	}
	fmt.Fprintln(os.Stderr, "without-io-uring:", err)
	return 1
}

// isToldOnce skips what is told from the command line in a short run under the race detector: it is whole programs,
// which take long to start there, and what they consist of has tests of its own that it looks on at.
func isToldOnce(t *testing.T) {
	t.Helper()
	if await.Race && testing.Short() {
		t.Skip("with the race detector and -short: what it runs is tested without, and its parts with it; make race has both")
	}
}

func TestScripts(t *testing.T) {
	isToldOnce(t)
	// Unpacked once here: the scripts have a home of their own.
	dist, err := pydist.Resolve(context.Background(), pydist.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PYISOLATE_PYTHON", dist.Lib)
			e.Setenv("EXAMPLES", wd+"/../../examples")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"ready": ready, "webserver": webServer, "certificate": certificate,
			"places": places, "eventually": eventually},
		Condition: func(name string) (bool, error) {
			if name != "hardened" {
				return false, fmt.Errorf("condition %q is not known", name)
			}
			_, err := stack.Compile(policy.Policy{Files: []policy.FileRule{{Path: "/usr", Access: policy.Read}}},
				stack.Options{Mode: stack.Hardened, Backend: seccomp.SubInterpreter, Threads: true})
			if errors.Is(err, stack.ErrUnheld) {
				return false, nil
			}
			return err == nil, err
		},
	})
}

// ready waits until somebody listens on a socket.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: ready SOCKET")
	}
	var err error
	listens := func() bool {
		var c net.Conn
		if c, err = net.Dial("unix", args[0]); err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	if !await.Within(30*time.Second, listens) {
		ts.Fatalf("nobody listens on %s: %v", args[0], err)
	}
}

// webServer serves a directory over HTTP until the script ends, at the address in a variable.
func webServer(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: webserver DIR VARIABLE")
	}
	s := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	ts.Defer(s.Close)
	ts.Setenv(args[1], s.URL)
}
