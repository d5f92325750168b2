package probe

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
)

func cgroupRows() []Row {
	const tried = "make a group and give it a limit"
	features := map[cgroup.Controller]Feature{cgroup.CPU: CgroupCPU, cgroup.Memory: CgroupMemory, cgroup.Tasks: CgroupTasks}
	tree, err := cgroup.Open(cgroup.Options{Name: fmt.Sprintf("pyisolate-probe-%d", os.Getpid())})
	if err != nil {
		rows := []Row{row(CgroupUnified, tried, err), row(BPFAttach, "attach a program to a group", err)}
		for _, c := range cgroup.Controllers {
			rows = append(rows, row(features[c], tried, err))
		}
		return rows
	}
	var rows []Row
	for _, c := range cgroup.Controllers {
		p := tree.Places()[c]
		rows = append(rows, Row{Feature: features[c], Works: p.Version > 0, Value: p.Version, Tried: tried, Answer: strings.Join(p.Evidence, "; ")})
	}
	unified := row(CgroupUnified, "make a group in version 2", nil)
	if tree.Unified() == "" {
		unified = row(CgroupUnified, unified.Tried, errors.New("none could be made"))
	}
	rows = append(rows, unified, row(BPFAttach, "attach a program to a group", short(tryAttach(tree.Unified()))))
	if err := tree.Close(); err != nil {
		rows[0].Answer += "; " + err.Error()
	}
	return rows
}

func tryAttach(dir string) error {
	if dir == "" {
		return errors.New("there is no group in version 2")
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.CGroupSockAddr, AttachType: ebpf.AttachCGroupInet4Connect, License: "GPL", Instructions: answer(1)})
	if err != nil {
		return err
	}
	defer func() { _ = prog.Close() }()
	l, err := link.AttachCgroup(link.CgroupOptions{Path: dir, Attach: ebpf.AttachCGroupInet4Connect, Program: prog})
	if err != nil {
		return err
	}
	return l.Close()
}
