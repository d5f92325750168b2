package host_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/ring/ringtest"
)

// fakeZygote is this test binary in the role of the zygote: it speaks the
// control protocol, and starts a process where the real one forks.
func fakeZygote() int {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(8))
	n, err := unix.Read(3, buf)
	if err != nil || !bytes.Contains(buf[:n], []byte("home=/h\x00")) {
		_ = unix.Send(3, []byte("error\x00bad configuration"), 0)
		return 1
	}
	if err := unix.Send(3, fmt.Appendf(nil, "ready\x00%d", os.Getpid()), 0); err != nil {
		return 1
	}
	for {
		n, oobn, _, _, err := unix.Recvmsg(3, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil || n != 32 {
			return 1
		}
		messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
		fds, _ := unix.ParseUnixRights(&messages[0])
		if fakeFork(binary.LittleEndian.Uint32(buf[4:]), binary.LittleEndian.Uint64(buf[8:]), fds) != nil {
			return 1
		}
	}
}

func fakeFork(id uint32, flags uint64, fds []int) error {
	pidfd := -1
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"fake-child"}, Env: []string{},
		ExtraFiles:  []*os.File{os.NewFile(uintptr(fds[0]), "mem"), os.NewFile(uintptr(fds[1]), "bell")},
		SysProcAttr: &syscall.SysProcAttr{PidFD: &pidfd, Pdeathsig: syscall.SIGKILL}}
	if err := cmd.Start(); err != nil {
		return err
	}
	reply := binary.LittleEndian.AppendUint32(nil, 1)
	reply = binary.LittleEndian.AppendUint32(reply, id)
	reply = binary.LittleEndian.AppendUint32(reply, uint32(cmd.Process.Pid))
	reply = binary.LittleEndian.AppendUint32(reply, 0)
	reply = binary.LittleEndian.AppendUint64(reply, flags)
	err := unix.Sendmsg(3, reply, unix.UnixRights(pidfd), nil, 0)
	go func() {
		_ = cmd.Wait()
		reaped := binary.LittleEndian.AppendUint32(nil, 2)
		reaped = binary.LittleEndian.AppendUint32(reaped, id)
		reaped = binary.LittleEndian.AppendUint32(reaped, uint32(cmd.ProcessState.Sys().(syscall.WaitStatus)))
		_ = unix.Send(3, append(reaped, make([]byte, 12)...), 0)
	}()
	return err
}

// fakeFresh is this test binary in the role of a cell that is executed.
func fakeFresh() int {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(8))
	n, err := unix.Read(3, buf)
	if err != nil || !bytes.Contains(buf[:n], []byte("home=/h\x00")) {
		_ = unix.Send(3, []byte("error\x00bad configuration"), 0)
		return 1
	}
	if err := unix.Send(3, fmt.Appendf(nil, "ready\x00%d", os.Getpid()), 0); err != nil {
		return 1
	}
	n, oobn, _, _, err := unix.Recvmsg(3, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n != 32 {
		return 1
	}
	messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
	fds, _ := unix.ParseUnixRights(&messages[0])
	reply := binary.LittleEndian.AppendUint32(nil, 1)
	reply = append(reply, buf[4:8]...)
	reply = binary.LittleEndian.AppendUint64(reply, uint64(os.Getpid()))
	reply = append(reply, buf[8:16]...)
	if unix.Send(3, reply, 0) != nil {
		return 1
	}
	return fakeCell(fds[0], fds[1])
}

// fakeChild is ready, echoes, and leaves when told.
func fakeChild() int { return fakeCell(3, 4) }

func fakeCell(mem, bell int) int {
	p, err := ringtest.OpenFDs(mem, bell)
	if err != nil || p.Send(ring.OutReady, 0, 0, nil) != nil {
		return 1
	}
	for {
		f, err := p.Recv()
		if err != nil || f.Kind == ring.InClose {
			return 0
		}
		if p.Send(ring.OutResult, 0, f.ID, f.Payload) != nil {
			return 1
		}
	}
}

func zygote(t *testing.T) *host.Zygote {
	t.Helper()
	z, err := host.NewZygote(host.ZygoteConfig{Dist: host.Dist{Home: "/h"}, Namespaces: unix.CLONE_NEWNET, Command: zygoteCommand})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := z.Close(); err != nil {
			t.Error(err)
		}
	})
	return z
}

func zygoteCommand() *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/exe", Args: []string{"fake-zygote"}, Env: []string{}}
}

func startWorker(t *testing.T, z *host.Zygote) (*ring.Region, host.Worker) {
	t.Helper()
	r, err := ring.New(ring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Free() })
	w, err := z.Start(r)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := r.Recv(); err != nil || f.Kind != ring.OutReady {
		t.Fatalf("first frame %v, %v", f.Kind, err)
	}
	return r, w
}

func TestZygoteChildren(t *testing.T) {
	z := zygote(t)
	var wg sync.WaitGroup
	for range 4 {
		r, w := startWorker(t, z)
		wg.Go(func() {
			if err := r.Send(ring.InCall, 0, 5, []byte("hello")); err != nil {
				t.Error(err)
			}
			if f, err := r.Recv(); err != nil || string(f.Payload) != "hello" {
				t.Errorf("answer %q, %v", f.Payload, err)
			}
			if cpu, err := w.CPU(); err != nil || cpu <= 0 {
				t.Errorf("CPU %s, %v", cpu, err)
			}
			if err := r.Send(ring.InClose, 0, 0); err != nil {
				t.Error(err)
			}
			<-w.Done()
			if w.Err() != nil {
				t.Errorf("an orderly end: %v", w.Err())
			}
		})
	}
	wg.Wait()
}

func TestZygoteKillsAndNames(t *testing.T) {
	z := zygote(t)
	_, w := startWorker(t, z)
	if n, ok := w.(interface{ Namespaces() []string }); !ok || strings.Join(n.Namespaces(), " ") != "net" {
		t.Error("the granted namespaces are not told")
	}
	w.Kill()
	<-w.Done()
	if w.Err() == nil || !strings.Contains(w.Err().Error(), "SIGKILL") {
		t.Errorf("got %v", w.Err())
	}
	w.Kill()
	if _, err := w.CPU(); err != nil {
		t.Errorf("CPU of a dead process: %v", err)
	}
}

func TestZygoteDeathEndsItsCellsAndIsMadeGood(t *testing.T) {
	var cmd *exec.Cmd
	z, err := host.NewZygote(host.ZygoteConfig{Dist: host.Dist{Home: "/h"}, Command: func() *exec.Cmd {
		cmd = zygoteCommand()
		return cmd
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	_, w := startWorker(t, z)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	if w.Err() == nil || !strings.Contains(w.Err().Error(), "zygote died: killed by signal 9") {
		t.Errorf("got %v", w.Err())
	}
	startAgain(t, z)
}

// startAgain starts a worker as the pool does: a zygote's death may be known late.
func startAgain(t *testing.T, z *host.Zygote) host.Worker {
	t.Helper()
	for deadline := time.Now().Add(patient); ; {
		r, err := ring.New(ring.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Free() })
		w, err := z.Start(r)
		if err == nil {
			return w
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestZygoteThatCannotStart(t *testing.T) {
	_, err := host.NewZygote(host.ZygoteConfig{Dist: host.Dist{Home: "/elsewhere"}, Command: zygoteCommand})
	if err == nil || !strings.Contains(err.Error(), "bad configuration") {
		t.Errorf("got %v", err)
	}
}

func freshCommand() *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/exe", Args: []string{"fake-fresh"}, Env: []string{}}
}

func origin(t *testing.T, w host.Worker) string {
	t.Helper()
	o, ok := w.(interface{ Origin() (string, uint32) })
	if !ok {
		t.Fatal("the worker does not say where it comes from")
	}
	start, uid := o.Origin()
	if uid != uint32(os.Getuid()) {
		t.Errorf("the worker runs as %d", uid)
	}
	return start
}

func TestCellsAreExecutedWithoutAZygote(t *testing.T) {
	missing := func() *exec.Cmd { return exec.Command("/nonexistent") }
	dying := func() *exec.Cmd {
		return exec.Command("sh", "-c", "dd bs=65536 count=1 <&3 >/dev/null 2>&1; kill -9 $$")
	}
	for name, tc := range map[string]struct {
		config host.ZygoteConfig
		why    string
	}{
		"by configuration":                 {host.ZygoteConfig{NoZygote: true, Command: missing}, "configuration wants none"},
		"when one dies before it is ready": {host.ZygoteConfig{Command: dying}, "wait until ready: EOF"},
		"when none starts":                 {host.ZygoteConfig{Command: missing}, "start zygote: fork/exec /nonexistent"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.config.Dist, tc.config.Namespaces, tc.config.Fresh = host.Dist{Home: "/h"}, unix.CLONE_NEWNET, freshCommand
			z, err := host.NewZygote(tc.config)
			if err != nil {
				t.Fatal(err)
			}
			_, orderly := startWorker(t, z)
			r, w := startWorker(t, z)
			_, left := startWorker(t, z)
			if got := origin(t, w); got != "exec" {
				t.Errorf("it began by %q", got)
			}
			if why, _ := z.Without(); !strings.Contains(why, tc.why) {
				t.Errorf("the reason is %q", why)
			}
			if err := r.Send(ring.InCall, 0, 5, []byte("hello")); err != nil {
				t.Error(err)
			}
			if f, err := r.Recv(); err != nil || string(f.Payload) != "hello" {
				t.Errorf("answer %q, %v", f.Payload, err)
			}
			w.Kill()
			if <-w.Done(); w.Err() == nil || !strings.Contains(w.Err().Error(), "SIGKILL") {
				t.Errorf("killed: %v", w.Err())
			}
			if n, ok := orderly.(interface{ Namespaces() []string }); !ok || strings.Join(n.Namespaces(), " ") != "net" {
				t.Error("the granted namespaces are not told")
			}
			if err := z.Close(); err != nil {
				t.Error(err)
			}
			<-left.Done()
			<-orderly.Done()
		})
	}
}

func TestZygoteThatGoesOnDyingIsDoneWithout(t *testing.T) {
	var cmd *exec.Cmd
	z, err := host.NewZygote(host.ZygoteConfig{Dist: host.Dist{Home: "/h"}, Fresh: freshCommand, Command: func() *exec.Cmd {
		cmd = zygoteCommand()
		return cmd
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	var starts []string
	for range 5 {
		w := startAgain(t, z)
		starts = append(starts, origin(t, w))
		if starts[len(starts)-1] == "fork" {
			_ = cmd.Process.Kill()
		} else {
			w.Kill()
		}
		<-w.Done()
	}
	if got := strings.Join(starts, " "); got != "fork fork fork exec exec" {
		t.Errorf("cells began by %s", got)
	}
	if why, _ := z.Without(); !strings.Contains(why, "zygote died: killed by signal 9") {
		t.Errorf("the reason is %q", why)
	}
}

// The host's reader asks why cells do without a zygote, and is not held by one that starts.
func TestWithoutDoesNotWaitForAZygote(t *testing.T) {
	var first *exec.Cmd
	starts, starting := make(chan struct{}), make(chan struct{})
	z, err := host.NewZygote(host.ZygoteConfig{Dist: host.Dist{Home: "/h"}, Command: func() *exec.Cmd {
		cmd := zygoteCommand()
		if first == nil {
			first = cmd
			return cmd
		}
		close(starting)
		<-starts
		return cmd
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	_, w := startWorker(t, z)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	again := make(chan struct{})
	go func() { startAgain(t, z); close(again) }()
	<-starting
	told := make(chan struct{})
	go func() { z.Without(); close(told) }()
	select {
	case <-told:
	case <-time.After(2 * time.Second):
		t.Error("it waits for the zygote")
	}
	close(starts)
	<-told
	<-again
}
