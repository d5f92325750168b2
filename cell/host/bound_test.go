package host

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
)

// bare is a child that is cat, with the bounds of limits on.
func bare(t *testing.T, l cell.Limits) *child {
	t.Helper()
	c := exec.Command("cat")
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Skipf("cat: %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	pidfd, err := unix.PidfdOpen(c.Process.Pid, 0)
	if err != nil {
		t.Skipf("pidfd_open: %v", err)
	}
	of := newChild(startExec, c.Process.Pid, pidfd, 0)
	for resource, most := range map[int]uint64{unix.RLIMIT_AS: 1<<30 + uint64(l.Memory), unix.RLIMIT_NOFILE: descriptors(l), unix.RLIMIT_NPROC: tasks(l)} {
		if err := unix.Prlimit(of.pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return of
}

func (c *child) limit(t *testing.T, resource int) uint64 {
	t.Helper()
	var l unix.Rlimit
	if err := unix.Prlimit(c.pid, resource, nil, &l); err != nil || l.Cur != l.Max {
		t.Fatalf("%+v, %v", l, err)
	}
	return l.Max
}

// Bounds follow the limits, from wherever they were.
func TestBound(t *testing.T) {
	before := cell.Limits{Memory: 64 << 20, Files: 10, Children: 1}
	c := bare(t, before)
	for _, l := range []cell.Limits{{Memory: 16 << 20, Files: 5}, {Memory: 512 << 20, Files: 200, Children: 9}, before} {
		missing := c.Bound(before, l)
		raised := l.Memory > before.Memory
		if len(missing) > 0 {
			if !raised {
				t.Errorf("lowered to %+v: %q", l, missing)
			}
			t.Skipf("this user raises no limits: %q", missing)
		}
		if space, files, number := c.limit(t, unix.RLIMIT_AS), c.limit(t, unix.RLIMIT_NOFILE), c.limit(t, unix.RLIMIT_NPROC); space != 1<<30+uint64(l.Memory) || files != descriptors(l) || number != tasks(l) {
			t.Errorf("%+v: %d bytes, %d files, %d tasks", l, space, files, number)
		}
		before = l
	}
}

// A process that is not counted by itself, or whose space is not bounded, stays so.
func TestUnboundStays(t *testing.T) {
	c := bare(t, cell.Limits{Memory: 64 << 20, Children: 7})
	if err := unix.Prlimit(c.pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Skipf("this user raises no limits: %v", err)
	}
	claimed := cell.Limits{Memory: 64 << 20, Files: 3, Children: 2}
	if missing := c.Bound(claimed, cell.Limits{Memory: 16 << 20, Files: 3, Children: 1}); len(missing) > 0 {
		t.Errorf("%q", missing)
	}
	if space, number := c.limit(t, unix.RLIMIT_AS), c.limit(t, unix.RLIMIT_NPROC); space != unix.RLIM_INFINITY || number != tasks(cell.Limits{Children: 7}) {
		t.Errorf("%d bytes, %d tasks", space, number)
	}
	c.bury(nil)
	if missing := c.Bound(claimed, claimed); missing != nil {
		t.Errorf("of one that is gone: %q", missing)
	}
}
