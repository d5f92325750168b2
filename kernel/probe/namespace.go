package probe

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaces are made one by one, each inside a new user namespace where only that
// permits it.
var namespaces = []struct {
	feature Feature
	flag    uintptr
}{
	{UserNamespace, unix.CLONE_NEWUSER},
	{MountNamespace, unix.CLONE_NEWNS},
	{PIDNamespace, unix.CLONE_NEWPID},
	{NetworkNamespace, unix.CLONE_NEWNET},
	{IPCNamespace, unix.CLONE_NEWIPC},
	{UTSNamespace, unix.CLONE_NEWUTS},
}

func namespaceRows() []Row {
	var rows []Row
	for _, n := range namespaces {
		r := row(n.feature, "make a process in one", tryClone(n.flag))
		if !r.Works && n.flag != unix.CLONE_NEWUSER {
			r = row(n.feature, "make a process in one, and in one with a user namespace", tryClone(n.flag|unix.CLONE_NEWUSER))
		}
		rows = append(rows, r)
	}
	return rows
}

// tryClone makes a process that would execute a file of no name: that error comes from
// the process, so it has been made.
func tryClone(flags uintptr) error {
	pid, err := syscall.ForkExec("", []string{""}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: flags}})
	switch {
	case errors.Is(err, syscall.ENOENT):
		return nil
	case err == nil: // there is no such program
		_, err = syscall.Wait4(pid, nil, 0, nil)
		return err
	default:
		return err
	}
}
