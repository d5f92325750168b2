package main

import (
	"os/exec"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

// places sets each variable to an address where a node of a cluster can be.
func places(ts *testscript.TestScript, _ bool, args []string) {
	for _, variable := range args {
		ts.Setenv(variable, loopback.Address())
	}
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
