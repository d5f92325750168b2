package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/pyisolate/pyisolate/node/config"
)

// What config print prints is read as what it was, also what cannot be seen.
func TestPrintedConfigIsRead(t *testing.T) {
	for _, name := range []string{"a\u00a0b", "a\x1b[31m", "\"a\\\u200b\t\"", "\U000e0041"} {
		t.Setenv("PYISOLATE_STORE", "/"+name)
		var out bytes.Buffer
		c := newRoot()
		c.SetArgs([]string{"config", "print", "--config", "/dev/null"})
		c.SetOut(&out)
		if err := c.Execute(); err != nil {
			t.Fatal(err)
		}
		if controls(out.String()) {
			t.Errorf("%q controls a terminal", name)
		}
		file := filepath.Join(t.TempDir(), "node.yml")
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := config.Load(config.Sources{File: file, Environ: []string{}})
		if err != nil || again.Node.Store != "/"+name {
			t.Errorf("%q: %v, %v", name, again, err)
		}
	}
}
