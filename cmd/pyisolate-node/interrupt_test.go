package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
)

// program is the command as a process, which ends with the test.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/proc/self/exe")
	c.Args = append([]string{"pyisolate-node"}, args...)
	c.Env = append(os.Environ(), mainEnv+"=1", "XDG_CONFIG_HOME="+t.TempDir())
	c.Stderr = os.Stderr
	return c
}

// pipe has both ends closed at the test's end.
func pipe(t *testing.T) (from, to *os.File) {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = from.Close(), to.Close() })
	return from, to
}

// unread is how many bytes are in a pipe.
func unread(t *testing.T, end *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(end.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// interrupt ends a command by one signal.
func interrupt(t *testing.T, c *exec.Cmd, by os.Signal) {
	t.Helper()
	begun := time.Now()
	if err := c.Process.Signal(by); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != statusInterrupt {
			t.Errorf("ended with %v, want exit status %d", err, statusInterrupt)
		}
		t.Logf("ended %s after the signal", time.Since(begun).Round(time.Millisecond))
	case <-time.After(20 * time.Second):
		_ = c.Process.Kill()
		t.Fatalf("%v did not end by it", by)
	}
}

// Ctrl-C ends the guest, whatever it does, and the status says so.
func TestInterruptEndsTheGuest(t *testing.T) {
	for _, backend := range []string{"subinterpreter", "process"} {
		t.Run(backend, func(t *testing.T) {
			c := program(t, "run", "--backend", backend, "-c",
				"post('on')\nwhile True:\n try:\n  while True: pass\n except BaseException: pass")
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "on\n" {
				t.Fatalf("first line %q, %v", line, err)
			}
			interrupt(t, c, os.Interrupt)
		})
	}
}

// A command that waits for its standard input ends by a signal as any other.
func TestInterruptWhileItReads(t *testing.T) {
	for _, args := range [][]string{
		{"run", "-"},
		{"cell", "exec", "one", "-"},
		{"cell", "send", "one", "--raw"},
		{"cell", "publish", "topic", "--raw"},
		{"policy", "put", "web", "-"},
		{"cluster", "join", "-", "--name", "n1", "--advertise", "127.0.0.1:7700"},
	} {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			from, to := pipe(t)
			c := program(t, args...)
			c.Stdin = from
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := to.WriteString("x"); err != nil {
				t.Fatal(err)
			}
			await.That(t, "it has begun to read", func() bool { return unread(t, to) == 0 })
			interrupt(t, c, syscall.SIGTERM)
		})
	}
}

// Nor does it wait for who does not take what it prints.
func TestInterruptWhileNobodyReads(t *testing.T) {
	from, to := pipe(t)
	c := program(t, "run", "-c", "while True: post('x' * 1000)")
	c.Stdout = to
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the pipe is full", func() bool { return unread(t, from) > 60_000 })
	interrupt(t, c, syscall.SIGTERM)
}

// A command that does not end by one signal ends by the next: here it waits for a file that is a pipe.
func TestInterruptTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program.py")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	c := program(t, "run", path)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await.That(t, "it opens the program", func() bool {
		to, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			t.Cleanup(func() { _ = to.Close() }) // held, so that the program has no end
		}
		return err == nil
	})
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	var err error
	await.That(t, "it ends", func() bool {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case err = <-ended:
			return true
		default:
			return false
		}
	})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, not by the signal", err)
	}
}

// A command that calls a node says that it was interrupted, and what that means.
func TestInterruptOfWhatCallsANode(t *testing.T) {
	dir := t.TempDir()
	startServe(t, dir)
	socket := filepath.Join(dir, "s")
	calls := dial(t, socket)
	if _, err := calls.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "one"})); err != nil {
		t.Fatal(err)
	}
	busy := func() bool {
		answer, err := calls.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Name: "one"}))
		return err == nil && answer.Msg.GetReport().GetBusy()
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"exec", "one", "-c", "while True: pass"}, "pyisolate-node: interrupted: so is what it ran in the cell; the cell goes on\n"},
		{[]string{"call", "one", "recv", "--json"}, `{"error":{"kind":"Cancelled","message":"interrupted: so is what it ran in the cell; the cell goes on","exit_status":130}}` + "\n"},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			command := program(t, append([]string{"cell", c.args[0], "--socket", socket}, c.args[1:]...)...)
			var said bytes.Buffer
			command.Stdout, command.Stderr = &said, &said
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			await.That(t, "the cell is at work", busy)
			interrupt(t, command, os.Interrupt)
			if said.String() != c.want {
				t.Errorf("it says %q, want %q", said.String(), c.want)
			}
			await.That(t, "the cell rests", func() bool { return !busy() })
		})
	}
	if _, err := calls.Cells.Call(t.Context(), connect.NewRequest(&pb.CallRequest{Name: "one", Target: "math.sqrt", Args: "[4]"})); err != nil {
		t.Errorf("the cell does not go on: %v", err)
	}
}
