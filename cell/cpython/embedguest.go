//go:build ignore

// Command embedguest writes guest_py.h from guest.py, dialect.py and effects.py: C strings,
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
	out.WriteString("// Code generated from guest.py, dialect.py and effects.py by embedguest.go; DO NOT EDIT.\n#pragma once\n")
	embed(&out, "guest_source", "guest.py", "dialect.py")
	embed(&out, "effects_source", "effects.py")
	if err := os.WriteFile("guest_py.h", out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

// embed writes one C string that holds the files, one after the other.
func embed(out *bytes.Buffer, array string, files ...string) {
	fmt.Fprintf(out, "\nstatic const char %s[] =", array)
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		for line := range bytes.Lines(src) {
			fmt.Fprintf(out, "\n    %q", line)
		}
	}
	out.WriteString(";\n")
}
