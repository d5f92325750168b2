//go:build ignore

// Command frozen_embed writes frozen_py.h from frozen/*.py: C strings, because
// the process executor needs them in a process where no Go code runs.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
)

func main() {
	var out bytes.Buffer
	out.WriteString("// Code generated from frozen/*.py by frozen_embed.go; DO NOT EDIT.\n#pragma once\n")
	for _, name := range []string{"start", "wake"} {
		src, err := os.ReadFile("frozen/" + name + ".py")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(&out, "\nstatic const char %s_source[] =", name)
		for line := range bytes.Lines(src) {
			fmt.Fprintf(&out, "\n    %q", line)
		}
		out.WriteString(";\n")
	}
	if err := os.WriteFile("frozen_py.h", out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
