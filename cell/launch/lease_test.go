package launch_test

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/boottime"
	"github.com/pyisolate/pyisolate/internal/pause"
)

// A host goes on while its lease is extended, and ends by itself when it is not.
func TestLease(t *testing.T) {
	l := launcher(t, launch.Config{})
	first := spawn(t, l, cell.Spec{Tenant: "early"})
	// Longer than a busy machine takes to start a host: that of late is greeted with it.
	short := boottime.Now() + 6*time.Second
	l.Lease(short)
	late := spawn(t, l, cell.Spec{Tenant: "late"})
	l.Lease(boottime.Now() + time.Minute)
	pause.For(t.Context(), short+time.Second-boottime.Now())
	for _, c := range []cell.Cell{first, late} {
		if err := run(c, "post 1"); err != nil {
			t.Errorf("while it has a lease: %v", err)
		}
	}
	end := boottime.Now() + time.Second
	l.Lease(end)
	for _, c := range []cell.Cell{first, late} {
		<-c.Done()
	}
	if now := boottime.Now(); now < end {
		t.Errorf("they ended %s before the lease", end-now)
	}
	l.Lease(0)
	if err := run(spawn(t, l, cell.Spec{Tenant: "early"}), "post 1"); err != nil {
		t.Errorf("without leases: %v", err)
	}
}

// What a host was greeted with is over, and is lifted before it is listed with the others: it is told all the same.
func TestLeaseThatIsLiftedWhileAHostStarts(t *testing.T) {
	var l *launch.Launcher
	l = launcher(t, launch.Config{Hosts: func(h launch.HostChange) {
		if h.Ended == "" { // it has been greeted
			l.Lease(0)
		}
	}})
	l.Lease(boottime.Now())
	if err := run(spawn(t, l, cell.Spec{}), "post 1"); err != nil {
		t.Error(err)
	}
}

// A host that does not read holds nobody up.
func TestLeaseOfAStoppedHost(t *testing.T) {
	l := launcher(t, launch.Config{AnswerGrace: time.Minute}) // or the stopped one is killed meanwhile
	stopped, fine := spawn(t, l, cell.Spec{Tenant: "stopped"}), spawn(t, l, cell.Spec{Tenant: "fine"})
	r, err := stopped.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(r.HostPID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, r.HostPID, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	for range 16 { // more than waits for a host before senders do
		sending.Go(func() { _ = stopped.Send(t.Context(), cell.BytesValue(make([]byte, 1<<20))) })
	}
	for range 100 {
		l.Lease(boottime.Now() + time.Minute)
	}
	if err := run(fine, "post 1"); err != nil {
		t.Error(err)
	}
	l.Lease(boottime.Now() + time.Millisecond)
	<-fine.Done()
	if err := syscall.Kill(r.HostPID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the stopped one ends as soon as it runs", func() bool {
		select {
		case <-stopped.Done():
			return true
		default:
			l.Lease(boottime.Now() + time.Millisecond)
			return false
		}
	})
}
