package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/pyisolate/pyisolate/node"
)

func TestMain(m *testing.M) {
	node.Init() // hosts of cells are this binary
	os.Exit(m.Run())
}

func TestEmbed(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "1.4142135623730951\n" {
		t.Errorf("it prints %q", out.String())
	}
}
