package main

import (
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pyisolate/pyisolate/internal/await"
)

// freePlaces sets each variable to an address of this machine where nobody listens, at the port after
// it neither, by TCP and UDP: where a node of a cluster can be.
func freePlaces(ts *testscript.TestScript, _ bool, args []string) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, variable := range args {
		var place string
		found := await.Within(10*time.Second, func() bool {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return false
			}
			held = append(held, l) // so that it does not come again
			place = l.Addr().String()
			return freeAfter(l.Addr().(*net.TCPAddr).Port)
		})
		if !found {
			ts.Fatalf("there are no two free ports after each other")
		}
		ts.Setenv(variable, place)
	}
}

// freeAfter says whether nobody is at the next port.
func freeAfter(port int) bool {
	next := fmt.Sprintf("127.0.0.1:%d", port+1)
	l, err := net.Listen("tcp", next)
	if err != nil {
		return false
	}
	_ = l.Close()
	p, err := net.ListenPacket("udp", next)
	if err != nil {
		return false
	}
	return p.Close() == nil
}

// eventually runs a command until it ends well and its standard output matches.
func eventually(ts *testscript.TestScript, not bool, args []string) {
	if not || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN COMMAND [ARG...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	var out []byte
	met := await.Within(time.Minute, func() bool {
		c := exec.Command(path, args[2:]...)
		c.Dir = ts.MkAbs(".")
		c.Env = environOf(ts)
		if out, err = c.CombinedOutput(); err != nil {
			return false
		}
		return pattern.Match(out)
	})
	if !met {
		ts.Fatalf("%q does not match, %v:\n%s", args[0], err, out)
	}
}

// environOf are the variables that these commands go by.
func environOf(ts *testscript.TestScript) (all []string) {
	for _, name := range []string{"PATH", "HOME", "WORK", "PYISOLATE_PYTHON", "PYISOLATE_SOCKET", "TESTSCRIPT_COVER_DIR", "GOCOVERDIR"} {
		if value := ts.Getenv(name); value != "" {
			all = append(all, name+"="+value)
		}
	}
	return all
}

// Ports are looked for once; what is not free is not taken.
func TestFreeAfter(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if freeAfter(l.Addr().(*net.TCPAddr).Port - 1) {
		t.Error("a port that is taken is free")
	}
}
