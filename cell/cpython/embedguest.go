//go:build ignore

// Command embedguest writes guest_py.h from the sources of the support module: C strings,
// because the process executor needs them in a process where no Go code runs.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
)

func main() {
	var out bytes.Buffer
	out.WriteString("// Code generated from the *.py by embedguest.go; DO NOT EDIT.\n#pragma once\n")
	for _, name := range []string{"guest", "errors", "streams", "dialect", "effects", "load", "names", "save", "instances", "find", "snapshot"} {
		embed(&out, name)
	}
	if err := os.WriteFile("guest_py.h", out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

// embed writes NAME.py as a C string called NAME_source.
func embed(out *bytes.Buffer, name string) {
	src, err := os.ReadFile(name + ".py")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(out, "\nstatic const char %s_source[] =", name)
	for line := range bytes.Lines(src) {
		fmt.Fprintf(out, "\n    %q", line)
	}
	out.WriteString(";\n")
}
