package probe

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/landlock"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

func landlockRows() []Row {
	abi, err := landlock.ABI()
	if err == nil {
		err = osthread.Run(func() error { return tryLandlock(abi) })
	}
	r := row(Landlock, "put an empty ruleset on a thread and open a file", err)
	if r.Works {
		r.Value = abi
		r.Answer = fmt.Sprintf("it worked; the interface has version %d", abi)
	}
	return []Row{r}
}

func tryLandlock(abi int) error {
	s, _, err := landlock.Compile(policy.Policy{}, abi)
	if err != nil {
		return err
	}
	s.Scope = 0 // the Go runtime signals its other threads from any
	if err := s.Restrict(); err != nil {
		return err
	}
	fd, err := unix.Open("/proc/self/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	if !errors.Is(err, unix.EACCES) {
		return unexpected(err, unix.EACCES)
	}
	return nil
}
