package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
)

func TestTopRates(t *testing.T) {
	now := time.Unix(1000, 0)
	r := &pb.CellReport{Cell: &pb.CellRef{Tenant: "t", Name: "c"}, Cpu: durationpb.New(3 * time.Second), Posts: 30, Logs: 5, Started: timestamppb.New(now.Add(-10 * time.Second))}
	before := topSample{now.Add(-2 * time.Second), &pb.CellReport{Cpu: durationpb.New(2 * time.Second), Posts: 10, Logs: 9}}
	for name, c := range map[string]struct {
		before      topSample
		percent     float64
		posts, logs float64
	}{
		"a new cell has the average of its life": {topSample{}, 30, 3, 0.5},
		"another, what it did since":             {before, 50, 10, 2.5}, // it was started again: its logs count from 0
		"no time has passed":                     {topSample{now, r}, 0, 0, 0},
	} {
		row := topRowOf(r, c.before, now)
		if row.Percent != c.percent || row.Posts != c.posts || row.Logs != c.logs {
			t.Errorf("%s: %+v", name, row)
		}
	}
}

// terminal is a pseudo terminal: what is at its ends.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there is no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("there is no pseudo terminal: %v", err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

// On a terminal the table stays in its place, and q ends it and leaves the terminal as it was.
func TestTopOnATerminal(t *testing.T) {
	dir := t.TempDir()
	startServe(t, dir)
	ours, theirs := terminal(t)
	before, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Args = []string{"pyisolate-node", "top", "--every", "100ms", "--socket", dir + "/s"}
	c.Env = append(os.Environ(), mainEnv+"=1")
	c.Stdin, c.Stdout, c.Stderr = theirs, theirs, os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() })
	seen := make(chan string, 1)
	go func() {
		var text strings.Builder
		_, _ = io.CopyN(&text, ours, 400) // some tables
		seen <- text.String()
		_, _ = io.Copy(io.Discard, ours)
	}()
	text := <-seen
	for _, want := range []string{"\x1b[?1049h", "\x1b[H\x1b[J", "CELL  STATE", ": 0 cells"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if _, err := ours.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("q ends it with %v", err)
	}
	await.That(t, "the terminal is as it was", func() bool {
		after, err := unix.IoctlGetTermios(int(theirs.Fd()), unix.TCGETS)
		return err == nil && after.Lflag == before.Lflag
	})
}

// JSON is for programs and to be kept, on a terminal, too: no screen of its own goes away with it.
func TestTopJSONOnATerminal(t *testing.T) {
	dir := t.TempDir()
	startServe(t, dir)
	if out, err := program(t, "cell", "spawn", "one", "--socket", dir+"/s").Output(); err != nil {
		t.Fatal(err, string(out))
	}
	ours, theirs := terminal(t)
	c := program(t, "top", "--json", "--every", "100ms", "--socket", dir+"/s")
	c.Stdin, c.Stdout = theirs, theirs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, 200)
	if _, err := io.ReadFull(ours, begin); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, ours) }()
	if strings.Contains(string(begin), "\x1b") || begin[0] != '{' {
		t.Errorf("it begins with %q", begin)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
}
