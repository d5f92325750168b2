package failpoint_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/failpoint"
)

var here = failpoint.New("test.here")

// rounds is how often a child comes by the point.
const rounds = 3

func TestMain(m *testing.M) {
	if os.Getenv(failpoint.Env) != "" {
		for i := range rounds {
			here.Hit()
			fmt.Println("round", i)
		}
		return
	}
	os.Exit(m.Run())
}

// child runs this test's binary, or one that is built with the tag.
func child(t *testing.T, program string, steered failpoint.Dir) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.Command(program)
	c.Env = append(os.Environ(), failpoint.Env+"="+string(steered))
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewScanner(out)
}

func lines(s *bufio.Scanner) (all []string) {
	for s.Scan() {
		all = append(all, s.Text())
	}
	return all
}

func arm(t *testing.T, a failpoint.Action, hit int) failpoint.Dir {
	t.Helper()
	d := failpoint.Dir(t.TempDir())
	if err := d.Arm("test.here", a, hit); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPoint(t *testing.T) {
	program := filepath.Join(t.TempDir(), "steered")
	if out, err := exec.Command("go", "test", "-c", "-tags", "failpoints", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Run("kill", func(t *testing.T) {
		d := arm(t, failpoint.Kill, 2)
		c, said := child(t, program, d)
		if got := lines(said); !slices.Equal(got, []string{"round 0"}) {
			t.Errorf("before it died it said %q", got)
		}
		var exit *exec.ExitError
		if err := c.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("it ended with %v", err)
		}
		if !d.Reached("test.here") {
			t.Error("the point is not said to be reached")
		}
	})
	t.Run("stop", func(t *testing.T) {
		d := arm(t, failpoint.Stop, 1)
		c, said := child(t, program, d)
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(c.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
			t.Fatalf("it is %v, %v", status, err)
		}
		if err := c.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		finishes(t, c, said)
	})
	t.Run("wait", func(t *testing.T) {
		d := arm(t, failpoint.Wait, 3)
		c, said := child(t, program, d)
		if !await.Within(10*time.Second, func() bool { return d.Reached("test.here") }) {
			t.Fatal("the point is not reached")
		}
		for i := range 2 {
			if !said.Scan() || said.Text() != fmt.Sprint("round ", i) {
				t.Errorf("it said %q", said.Text())
			}
		}
		over := make(chan struct{})
		go func() { defer close(over); said.Scan() }()
		select {
		case <-over:
			t.Errorf("it has not waited, but said %q", said.Text())
		case <-time.After(50 * time.Millisecond):
		}
		if err := d.Release("test.here"); err != nil {
			t.Fatal(err)
		}
		<-over
		if err := c.Wait(); err != nil || said.Text() != "round 2" {
			t.Errorf("it said %q, and ended with %v", said.Text(), err)
		}
	})
}

// A program that is built as all are cannot be steered.
func TestNormal(t *testing.T) {
	if failpoint.Names() != nil {
		t.Skip("this test is built with the tag")
	}
	d := arm(t, failpoint.Kill, 1)
	c, said := child(t, os.Args[0], d)
	finishes(t, c, said)
	if d.Reached("test.here") {
		t.Error("the point was looked for")
	}
	if n := testing.AllocsPerRun(100, here.Hit); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func finishes(t *testing.T, c *exec.Cmd, said *bufio.Scanner) {
	t.Helper()
	if got := lines(said); len(got) != rounds {
		t.Errorf("it said %q", got)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}
