package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTable(t *testing.T) {
	c := costs{}
	c.add("6.12.1-amd64", []vmtest.Cost{{Kind: "bpf-lsm", Program: "on_b", Instructions: 7}, {Kind: "bpf-lsm", Program: "on_a", Instructions: 5}})
	c.add("6.1.9-amd64", []vmtest.Cost{{Kind: "bpf-lsm", Program: "on_b", Instructions: 6}})
	c.add("6.1.9-amd64", nil)
	want := "| Kind | Program | 6.1.9-amd64 | 6.12.1-amd64 |\n|---|---|--:|--:|\n| bpf-lsm | `on_a` | – | 5 |\n| bpf-lsm | `on_b` | 6 | 7 |\n"
	if got := string(c.table()); !strings.HasSuffix(got, want) {
		t.Errorf("%s", got)
	}
}
