package fabrictest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/netlab"
)

// recorded is a network that only says what was set.
type recorded struct{ all map[string]netlab.Condition }

func (r recorded) address(string) netip.Addr           { return netip.MustParseAddr("127.0.0.1") }
func (r recorded) start(string, *exec.Cmd) error       { return fmt.Errorf("nothing starts here") }
func (r recorded) heal()                               { clear(r.all) }
func (r recorded) links() bool                         { return true }
func (r recorded) close() error                        { return nil }
func (r recorded) set(a, b string, c netlab.Condition) { r.all[a+b] = c }

// Each fault is on the links that it says, and in the direction that it says.
func TestDisturb(t *testing.T) {
	for _, c := range []struct {
		fault Fault
		cut   string // links, from and to
	}{
		{Fault{Kind: Isolate, Node: "a"}, "ab ac ba ca"},
		{Fault{Kind: Mute, Node: "a"}, "ab ac"},
		{Fault{Kind: Deafen, Node: "a"}, "ba ca"},
		{Fault{Kind: Part, Node: "a", Peer: "c"}, "ac ca"},
		{Fault{Kind: PartHalf, Node: "a", Peer: "c"}, "ac"},
		{Fault{Kind: Disperse}, "ab ac ba bc ca cb"},
		{Fault{Kind: Slow, Node: "a"}, ""},
		{Fault{Kind: Lossy, Node: "a"}, ""},
	} {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			links := recorded{map[string]netlab.Condition{}}
			f := &Fabric{network: links, Nodes: []*Node{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
			if err := f.begin(c.fault); err != nil {
				t.Fatal(err)
			}
			var cut, bad []string
			for link, condition := range links.all {
				if condition.Cut {
					cut = append(cut, link)
				}
				if condition != (netlab.Condition{}) {
					bad = append(bad, link)
				}
			}
			slices.Sort(cut)
			if got := strings.Join(cut, " "); got != c.cut {
				t.Errorf("cut are %q, not %q", got, c.cut)
			}
			if c.cut == "" && len(bad) != 4 {
				t.Errorf("bad are %q", bad)
			}
		})
	}
	f := &Fabric{network: recorded{map[string]netlab.Condition{}}}
	if err := f.begin(Fault{Kind: Kill, Node: "nobody"}); err == nil {
		t.Error("a fault of no node")
	}
}

// The processes of a copy of a program are found, and no others.
func TestProcessesOf(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no program to start: ", err)
	}
	path := filepath.Join(t.TempDir(), "copy")
	if err := copyProgram(sleep, path); err != nil {
		t.Fatal(err)
	}
	program, err := identify(path)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Name: "n", program: program}
	if left := n.Left(0); len(left) != 0 {
		t.Errorf("before its start there is %q", left)
	}
	c := exec.Command(path, "60")
	if filepath.Base(mustResolve(t, sleep)) != "sleep" { // one program of many names, told by the first argument
		c.Args[0] = "sleep"
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if left := n.Left(0); len(left) != 1 || !strings.Contains(left[0], fmt.Sprint(c.Process.Pid)) {
		t.Errorf("running are %q", left)
	}
	if err := signalAll([]int{c.Process.Pid, 1 << 22}, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	_ = c.Wait()
	if left := n.Left(time.Second); len(left) != 0 {
		t.Errorf("after its end there is %q", left)
	}
	if err := copyProgram(filepath.Join(path, "none"), path+"2"); err == nil {
		t.Error("a copy of nothing")
	}
}

func mustResolve(t *testing.T, path string) string {
	t.Helper()
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{Nodes: 10}); err == nil {
		t.Error("ten nodes")
	}
	if _, err := New(Options{Network: Loopback, Program: filepath.Join(t.TempDir(), "none"), Dir: t.TempDir()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}
