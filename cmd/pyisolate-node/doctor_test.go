package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/kernel/contract"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// TestNodeRows: what a node loads here, or why it does not, is what a node finds that starts.
func TestNodeRows(t *testing.T) {
	kernel, err := enforce.Open(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	facts, watches := kernel.Facts(), kernel.Watches()
	if err := kernel.Close(); err != nil {
		t.Fatal(err)
	}
	works := map[probe.Feature]bool{}
	for _, r := range nodeRows(t.Context()) {
		works[r.Feature] = r.Works
		if r.Tried == "" || r.Answer == "" {
			t.Errorf("%+v", r)
		}
	}
	want := map[probe.Feature]bool{nodePrograms: facts.Layer != ""}
	if facts.Layer != "" {
		want[nodeJudges] = true
	}
	if !facts.Files {
		want[nodeWatch] = watches != ""
	}
	if diff := cmp.Diff(want, works); diff != "" {
		t.Error(diff)
	}
}

func TestJudgesRow(t *testing.T) {
	r := judgesRow(stack.Guard{Network: true, Connects: true, Contracts: []contract.Hook{contract.Connect}})
	if want := "network, total connects, contracts at connect; not files, changes of directories, total opens, total bytes, total processor"; !r.Works || r.Answer != want {
		t.Errorf("%+v", r)
	}
}

// TestDoctorNames: each unmet requirement is named, with what the kernel answered.
func TestDoctorNames(t *testing.T) {
	d := diagnosis{Version: "test", Features: &probe.Features{Kernel: "1.2.3", Arch: "amd64", Rows: []probe.Row{
		{Feature: probe.SeccompFilter, Works: true, Tried: "a filter", Answer: "it worked"},
		{Feature: probe.SeccompKill, Works: true, Tried: "a filter", Answer: "it worked"},
		{Feature: probe.Landlock, Works: true, Value: 2, Tried: "a ruleset", Answer: "it worked"},
		{Feature: probe.BPFLSM, Tried: "a program", Answer: "operation not permitted"},
	}}}
	d.Requirements, d.Hardened = stack.CheckAll(d.Features)
	if d.Hardened {
		t.Fatal("all requirements are met by a kernel with next to nothing")
	}
	var out bytes.Buffer
	d.printUnmet(&out)
	if strings.Contains(out.String(), "needs system calls") {
		t.Errorf("a met requirement is named:\n%s", &out)
	}
	for _, want := range []string{
		"hardened mode needs files per cell, or else a cell reads and changes what its user may: " +
			"eBPF-LSM: bpf.lsm (operation not permitted); or Landlock: landlock has version 2, 3 is needed\n",
		"hardened mode needs memory, or else what C libraries take is not bounded: cgroup.memory: not probed\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	out.Reset()
	if err := d.print(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kernel 1.2.3 on amd64, tried as an ordinary user", "yes landlock 2 ", "no  bpf.lsm ", "yes system calls  ", "no  memory  "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	out.Reset()
	if err := d.print(&out, true); err != nil {
		t.Fatal(err)
	}
	var again diagnosis
	if err := json.Unmarshal(out.Bytes(), &again); err != nil || again.Hardened || len(again.Rows) != 4 || len(again.Requirements) != len(d.Requirements) {
		t.Errorf("%v: %s", err, &out)
	}
}
