package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

// A suite is something that a machine runs, or some of it.
type suite struct {
	name string
	add  func(dir string, a *vmtest.Archive) error
	// python: it runs cells, and so needs Python and what it runs on.
	python bool
	// check looks at what it printed, beside its status; nil: there is nothing to see.
	check func(m *machine, r vmtest.Result) (summary string, err error)
}

// systemTests are those about what the kernel does to cells. The others are of what is
// above it, and alike on every kernel.
var systemTests = []string{
	"TestTwoCells", "TestQuotasOfTheKernel", "TestProcessorInTotal", "TestGroupOfACell",
	"TestPolicy", "TestReload", "TestMatrix", "TestCorrupted", "TestProcessCellIsNobody", "TestHostOfThreadsIsPowerless",
	"TestWaysAroundTheGate", "TestGrantedImportsWork", "TestQuietLibraries",
}

var suites = []suite{
	{name: "kernel", add: addRoom},
	{name: "cells", python: true, add: addSystem("cells", "TestTwoCells")},
	{name: "system", python: true, add: addSystem("system", strings.Join(systemTests, "|"))},
	{name: "threads", python: true, add: addHostile("threads", "subinterpreter"), check: checkHostile},
	{name: "processes", python: true, add: addHostile("processes", "process"), check: checkHostile},
	{name: "doctor", python: true, add: addNode("doctor", "doctor", "--json"), check: checkDoctor},
	{name: "grade", python: true, add: addNode("grade", "conformance", "--grade", "--json"), check: checkGrade},
}

// choose picks suites by their names.
func choose(names string) ([]suite, error) {
	var list []suite
	for name := range strings.SplitSeq(names, ",") {
		at := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if at < 0 {
			return nil, fmt.Errorf("suite %q is not known", name)
		}
		list = append(list, suites[at])
	}
	if slices.ContainsFunc(list, func(s suite) bool { return s.python }) {
		list = append(list, suite{name: "python", add: addPython})
	}
	return list, nil
}

// addSystem adds tests of system_test, which put every cell under the guard where it loads.
func addSystem(name, run string) func(string, *vmtest.Archive) error {
	return func(dir string, a *vmtest.Archive) error {
		return addTests(dir, a, name, "system_test", vmtest.Command{Args: []string{"-test.run=" + run}, Env: []string{"PYISOLATE_TEST_GUARD=1"}})
	}
}

// addTests adds the tests of a package that needs cgo, as a test of a name.
func addTests(dir string, a *vmtest.Archive, name, pkg string, command vmtest.Command) error {
	program := filepath.Join(dir, filepath.Base(pkg)+".cgo.test")
	if err := compile(dynamic, "test", "-c", "-o", program, "./"+pkg); err != nil {
		return err
	}
	command.Args = append([]string{"-test.v", "-test.timeout=" + limit.String()}, command.Args...)
	command.Env = append(command.Env, pythonEnv)
	if err := addCommand(a, name, program, command); err != nil {
		return err
	}
	return a.Tree(vmtest.TestsDir+"/"+name+"/testdata", filepath.Join(pkg, "testdata"))
}

// Where Python is in a machine, unpacked: under emulation that takes a minute.
const (
	pythonHome = "/python"
	pythonEnv  = pydist.PythonEnv + "=" + pythonHome
)

// addPython adds the embedded Python without its program, and a user.
func addPython(_ string, a *vmtest.Archive) error {
	d, err := pydist.Resolve(context.Background(), pydist.Options{})
	if err != nil {
		return err
	}
	lib, err := filepath.Rel(d.Home, filepath.Dir(d.Lib))
	if err != nil {
		return err
	}
	if err := a.Tree(filepath.Join(pythonHome, lib), filepath.Dir(d.Lib)); err != nil {
		return err
	}
	if err := a.Libraries(d.Lib); err != nil {
		return err
	}
	a.Data("/etc/passwd", []byte("root:x:0:0:root:/:/bin/sh\n"), false)
	return nil
}
