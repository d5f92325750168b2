package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

func tryLSM(context.Context, *scene) (string, error) {
	row := probe.Host().Row(probe.BPFLSM)
	if !row.Works {
		return "", fmt.Errorf("%s: %s", row.Tried, row.Answer)
	}
	return row.Tried + ": " + row.Answer, nil
}

// withTree makes a tree of groups in the version 2 hierarchy and takes it away.
func withTree(f func(*cgroup.Tree) (string, error)) (string, error) {
	t, err := cgroup.Open(cgroup.Options{Name: fmt.Sprintf("pyisolate-conformance-%d", os.Getpid()), Version: 2})
	if err != nil {
		return "", err
	}
	evidence, err := f(t)
	return evidence, errors.Join(err, t.Close())
}

func tryGroup(context.Context, *scene) (string, error) {
	return withTree(func(t *cgroup.Tree) (string, error) {
		if t.Unified() == "" {
			return "", errors.New("no group could be made in the version 2 hierarchy")
		}
		return "made " + t.Unified(), nil
	})
}

func tryControllers(context.Context, *scene) (string, error) {
	return withTree(func(t *cgroup.Tree) (string, error) {
		var missing []string
		for c, p := range t.Places() {
			if p.Version != 2 {
				missing = append(missing, fmt.Sprintf("%s: %s", c, strings.Join(p.Evidence, "; ")))
			}
		}
		if len(missing) > 0 {
			return "", errors.New(strings.Join(missing, "; "))
		}
		return "a group took a limit of each", nil
	})
}

// tryTasks lets a shell, alone in a group for one task, start a second.
func tryTasks(ctx context.Context, _ *scene) (string, error) {
	return withTree(func(t *cgroup.Tree) (evidence string, err error) {
		group, err := t.Create("one", cgroup.Limits{Tasks: 1})
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, group.Remove(context.WithoutCancel(ctx))) }()
		var said bytes.Buffer
		shell := exec.CommandContext(ctx, "/bin/sh", "-c", "read go; (exit 0); exit $?")
		shell.Stderr = &said
		stdin, err := shell.StdinPipe()
		if err != nil {
			return "", err
		}
		if err := shell.Start(); err != nil {
			return "", err
		}
		err = group.AddProcess(shell.Process.Pid)
		if err == nil {
			_, err = io.WriteString(stdin, "\n")
		}
		_ = stdin.Close() // the shell reads its end, if it has not read the line
		if ended := shell.Wait(); err == nil && ended == nil {
			err = errors.New("a second task was started")
		}
		return "a shell was refused a second process: " + said.String(), err
	})
}

// tryCellGroup compares the group of a cell's process with this process's.
func tryCellGroup(ctx context.Context, s *scene) (string, error) {
	c, err := s.exec(ctx, cell.Spec{}, "post(1)")
	if err != nil {
		return "", err
	}
	r, err := c.Inspect(ctx)
	if err != nil {
		return "", err
	}
	own, err := groupOf(os.Getpid())
	if err != nil {
		return "", err
	}
	for _, t := range cellThreads(r.HostPID) {
		theirs, err := groupOf(t.pid)
		if err != nil {
			return "", err
		}
		if theirs == own {
			return "", fmt.Errorf("the cell's process is in the node's group %s", own)
		}
	}
	return "the cell's process is not in the node's group " + own, nil
}

// groupOf is a process's group in the version 2 hierarchy.
func groupOf(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if group, found := strings.CutPrefix(line, "0::"); found {
			return strings.TrimSpace(group), nil
		}
	}
	return "", errors.New("there is no version 2 hierarchy")
}
