package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

// build makes the initial file system: init, a test binary for each package of the room,
// and what the suites run.
func build(dir string, chosen []suite) ([]byte, error) {
	var a vmtest.Archive
	a.Dir("/dev")
	a.Device("/dev/console", 5, 1)
	a.Device("/dev/null", 1, 3)
	program := filepath.Join(dir, "init")
	if err := compile(static, "build", "-o", program, "./kernel/internal/vmtest/init"); err != nil {
		return nil, err
	}
	if err := a.File("/init", program); err != nil {
		return nil, err
	}
	a.Data(vmtest.FlagsFile, []byte(*flags), false)
	for _, program := range []string{"/bin/sh", "/bin/sleep", "/bin/true"} { // tests start them
		if err := a.Program(program, program); err != nil {
			return nil, err
		}
	}
	for _, s := range chosen {
		if err := s.add(dir, &a); err != nil {
			return nil, err
		}
	}
	return a.Bytes(), nil
}

// addRoom adds the test binaries of the packages below kernel/, which need no libraries.
func addRoom(dir string, a *vmtest.Archive) error {
	packages, err := packages()
	if err != nil {
		return err
	}
	for _, p := range packages {
		name := strings.ReplaceAll(p, "/", "-")
		program := filepath.Join(dir, name+".test")
		if err := compile(static, "test", "-c", "-o", program, "./kernel/"+p); err != nil {
			return err
		}
		at := vmtest.TestsDir + "/" + name
		if err := a.File(at+"/test", program); err != nil {
			return err
		}
		if err := a.Tree(at+"/testdata", filepath.Join("kernel", p, "testdata")); err != nil {
			return err
		}
	}
	return nil
}

// addCommand adds a program that needs libraries, and how it is run.
func addCommand(a *vmtest.Archive, name, program string, command vmtest.Command) error {
	at := vmtest.TestsDir + "/" + name
	if err := a.Program(at+"/test", program); err != nil {
		return err
	}
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	a.Data(at+"/"+vmtest.CommandFile, text, false)
	return nil
}

// How go links: without cgo, or with it for what runs Python.
const (
	static  = "CGO_ENABLED=0"
	dynamic = "CGO_ENABLED=1"
)

// compile runs go and leaves out what is not needed in a machine.
func compile(cgo, command string, args ...string) error {
	c := exec.Command("go", append([]string{command, "-trimpath", "-ldflags=-s -w"}, args...)...)
	c.Env = append(os.Environ(), cgo, "GOOS=linux", "GOARCH=amd64")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("go %s %v: %w", command, args, err)
	}
	return nil
}

// packages are those below kernel/ that have tests, but this one.
func packages() ([]string, error) {
	if *only != "" {
		return strings.Split(*only, ","), nil
	}
	out, err := exec.Command("go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}", "./kernel/...").Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	var list []string
	for path := range strings.FieldsSeq(string(out)) {
		_, inside, _ := strings.Cut(path, "/kernel/")
		if !strings.HasPrefix(inside, "internal/vmtest") {
			list = append(list, inside)
		}
	}
	slices.Sort(list)
	return list, nil
}
