package main

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/pyisolate/pyisolate/cell/host"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	os.Exit(m.Run())
}

func TestCellsCountWords(t *testing.T) {
	in, err := os.Open("../data/gettysburg.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	var out bytes.Buffer
	if err := run(context.Background(), in, &out); err != nil {
		t.Fatal(err)
	}
	want := `272 words; the most common: [["that",13],["the",11],["we",10]]` + "\n"
	if out.String() != want {
		t.Errorf("%s, want %s", out.String(), want)
	}
}
