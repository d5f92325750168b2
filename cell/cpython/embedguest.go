//go:build ignore

// Command embedguest writes guest_py.h from guest.py and dialect.py: a C string, because the
// process executor needs it in a process where no Go code runs.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
)

func main() {
	var src []byte
	for _, name := range []string{"guest.py", "dialect.py"} {
		part, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		src = append(src, part...)
	}
	var out bytes.Buffer
	out.WriteString("// Code generated from guest.py and dialect.py by embedguest.go; DO NOT EDIT.\n#pragma once\n\nstatic const char guest_source[] =")
	for line := range bytes.Lines(src) {
		fmt.Fprintf(&out, "\n    %q", line)
	}
	out.WriteString(";\n")
	if err := os.WriteFile("guest_py.h", out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
