package host

import (
	"errors"
	"math"
	"os/exec"
	"runtime"
	"sync"
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

// withoutRight calls f on a thread that may raise no limits.
func withoutRight(t *testing.T, f func()) {
	t.Helper()
	var err error
	var done sync.WaitGroup
	done.Go(func() {
		runtime.LockOSThread() // for good: the thread ends with its rights
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err = unix.Capget(&head, &data[0]); err != nil {
			return
		}
		data[0].Effective &^= 1 << unix.CAP_SYS_RESOURCE
		if err = unix.Capset(&head, &data[0]); err == nil {
			f()
		}
	})
	done.Wait()
	if err != nil {
		t.Fatal(err)
	}
}

// A raise that the kernel refuses is told for as long as it is asked for, and counts for nothing.
func TestRefusedRaise(t *testing.T) {
	claimed := cell.Limits{Memory: 64 << 20, Files: 10, Children: 1}
	wide := cell.Limits{Memory: 256 << 20, Files: 20, Children: 2}
	c := bare(t, claimed)
	want := func(what string, l cell.Limits) {
		t.Helper()
		space, files, number := c.limit(t, unix.RLIMIT_AS), c.limit(t, unix.RLIMIT_NOFILE), c.limit(t, unix.RLIMIT_NPROC)
		if space != 1<<30+uint64(l.Memory) || files != descriptors(l) || number != tasks(l) {
			t.Errorf("%s: %d bytes, %d files, %d tasks", what, space, files, number)
		}
	}
	withoutRight(t, func() {
		before := claimed
		for _, step := range []struct {
			what    string
			to, has cell.Limits
			missing int
		}{
			{"raised", wide, claimed, 3},
			{"asked again", wide, claimed, 3},
			{"another one", cell.Limits{Memory: wide.Memory, Files: 5, Children: 2}, cell.Limits{Memory: claimed.Memory, Files: 5, Children: 1}, 2},
			{"as it was", cell.Limits{Memory: claimed.Memory, Files: 5, Children: 1}, cell.Limits{Memory: claimed.Memory, Files: 5, Children: 1}, 0},
			{"lowered", cell.Limits{Memory: 16 << 20, Files: 4, Children: 0}, cell.Limits{Memory: 16 << 20, Files: 4, Children: 0}, 0},
		} {
			if missing := c.Bound(before, step.to); len(missing) != step.missing {
				t.Errorf("%s: %q", step.what, missing)
			}
			want(step.what, step.has)
			before = step.to
		}
	})
	c.bounds.space = math.MaxUint64 - 1
	if err := c.setSpace(wide); !errors.Is(err, unix.ERANGE) {
		t.Errorf("what is beyond all numbers: %v", err)
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
