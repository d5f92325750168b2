package systemtest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// newGroups is a tree of control groups that is gone after the test, with all its groups.
func newGroups(tb testing.TB) *cgroup.Tree {
	tb.Helper()
	for _, f := range []probe.Feature{probe.CgroupMemory, probe.CgroupTasks} {
		if r := probe.Host().Row(f); !r.Works {
			tb.Skipf("no control groups here: %s: %s", f, r.Answer)
		}
	}
	tree, err := cgroup.Open(cgroup.Options{Name: cgroup.OwnName("pyisolate-test")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { // after the enforcer's end
		if list, err := tree.List(); err != nil || len(list) > 0 {
			tb.Errorf("groups are left: %q, %v", list, err)
		}
	})
	return tree
}

// kernelLauncher is one with the node's half of the kernel.
func kernelLauncher(tb testing.TB, o enforce.Options, c launch.Config) *launch.Launcher {
	tb.Helper()
	c.Kernel = enforce.New(o)
	tb.Cleanup(func() { // after the launcher's end
		if err := c.Kernel.Close(); err != nil {
			tb.Error(err)
		}
	})
	return newLauncher(tb, c)
}

// TestGroupOfACell: what a process cell's C libraries take is bounded, though nobody counts it.
func TestGroupOfACell(t *testing.T) {
	tree := newGroups(t)
	l := kernelLauncher(t, enforce.Options{Groups: tree}, launch.Config{})
	sql := []string{"sqlite3"}
	greedy := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: sql, Limits: cell.Limits{Memory: 16 << 20}})
	modest := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: sql, Limits: cell.Limits{Memory: 16 << 20}})
	alive(t, greedy)
	alive(t, modest)
	list, err := tree.List()
	if err != nil || len(list) < 3 { // of the hosts, and of each cell
		t.Errorf("groups %q, %v", list, err)
	}
	err = greedy.Exec(soon(t), source("import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create table t (b)')\n"+
		"for i in range(200): db.execute('insert into t values (zeroblob(1000000))')"))
	if err == nil {
		t.Error("200 MB are held in 16 MiB")
	}
	if kind := cell.KindOf(err); kind != cell.CellGone && kind != cell.MemoryExceeded && kind != cell.GuestError {
		t.Errorf("%v", err)
	}
	alive(t, modest)
	if err := modest.Close(soon(t)); err != nil && !errors.Is(err, cell.CellGone) {
		t.Error(err)
	}
}

// newKernel is the node's half of the kernel, with programs of the strongest kind.
func newKernel(tb testing.TB) *enforce.Enforcer {
	tb.Helper()
	if os.Getenv(guardEnv) != "" {
		e, err := guarded()
		if err != nil {
			tb.Skipf("no eBPF programs here: %v", err)
		}
		return e
	}
	e, err := enforce.Open(tb.Context(), true)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { // after the launcher's end
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := e.Refused(); err != nil {
		tb.Skipf("no eBPF programs here: %v", err)
	}
	return e
}

// listen is a TCP server on a loopback address, which greets and hangs up.
func listen(tb testing.TB) (port uint16) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(publicText))
			_ = conn.Close()
		}
	}()
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

func connects(port uint16) *policy.Policy {
	return &policy.Policy{Net: []policy.NetRule{{Prefix: netip.MustParsePrefix("127.0.0.1/32"),
		Ports: []policy.PortRange{{First: port, Last: port}}}}}
}

// TestTwoCellsOfOneHost: of two cells that share a process one reaches A and not B, the other
// B and not A; their policies are exchanged while they run, and it is the other way round.
func TestTwoCellsOfOneHost(t *testing.T) {
	kernel := newKernel(t)
	for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		t.Run(string(b), func(t *testing.T) {
			l := newLauncher(t, launch.Config{Kernel: kernel})
			ports := [2]uint16{listen(t), listen(t)}
			policies := [2]*policy.Policy{connects(ports[0]), connects(ports[1])}
			var cells [2]cell.Cell
			for i := range cells {
				cells[i] = spawn(t, l, cell.Spec{Backend: b, Imports: []string{"os", "socket"}, Policy: policies[i]})
				posts(t, cells[i], attempts+"\nimport socket")
			}
			sameHost(t, cells[:]...)
			reaches := func(want [2][2]bool) {
				t.Helper()
				for i, c := range cells {
					for j, port := range ports {
						got := attempt(t, c, fmt.Sprintf("socket.create_connection(('127.0.0.1', %d), 20).recv(99).decode()", port))
						if (got == publicText) != want[i][j] {
							t.Errorf("cell %d, server %d: %s", i, j, got)
						}
					}
				}
			}
			reaches([2][2]bool{{true, false}, {false, true}})
			for i, c := range cells {
				r, err := c.Reload(soon(t), cell.Revision{Policy: *policies[1-i]})
				if err != nil {
					t.Fatal(err)
				}
				if missing := r.NewCell(); len(missing) > 0 {
					t.Errorf("only in a new cell: %q", missing)
				}
			}
			reaches([2][2]bool{{false, true}, {true, false}})
		})
	}
}

// TestTwoCellsReadDifferently is the same with files: of two cells of one host one reads A and
// not B, the other B and not A.
func TestTwoCellsReadDifferently(t *testing.T) {
	kernel := newKernel(t)
	if !kernel.Facts().Files && kernel.Watches() == "" {
		t.Skip("nothing here judges files by rules that can be replaced")
	}
	for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		t.Run(string(b), func(t *testing.T) {
			root := newTree(t)
			l := newLauncher(t, launch.Config{Kernel: kernel})
			var policies [2]*policy.Policy
			var cells [2]cell.Cell
			for i, name := range []string{"a", "b"} {
				// The gate lets both through: what decides is the kernel.
				policies[i] = fileRules(policy.FileRule{Path: root + "/" + name, Access: policy.Read | policy.Write},
					policy.FileRule{Path: root + "/links", Access: policy.Read})
			}
			for i := range cells {
				cells[i] = spawn(t, l, cell.Spec{Backend: b, Imports: []string{"os"}, Policy: policies[i]})
				posts(t, cells[i], attempts)
			}
			sameHost(t, cells[:]...)
			reads := func(want [2][2]bool) {
				t.Helper()
				for i, c := range cells {
					for j, name := range []string{"a", "b"} {
						for path, refused := range map[string]string{"/" + name + "/file": "refused by the gate", "/links/" + name: "refused by the kernel"} {
							got := attempt(t, c, "open('"+root+path+"').read()")
							if read := got == publicText || got == secretText; read != want[i][j] || (!read && got != refused) {
								t.Errorf("cell %d, %s: %s", i, path, got)
							}
						}
					}
				}
			}
			reads([2][2]bool{{true, false}, {false, true}})
			for i, c := range cells {
				r, err := c.Reload(soon(t), cell.Revision{Policy: *policies[1-i]})
				if err != nil {
					t.Fatal(err)
				}
				if missing := r.NewCell(); len(missing) > 0 {
					t.Errorf("only in a new cell: %q", missing)
				}
			}
			reads([2][2]bool{{false, true}, {true, false}})
			// What is given is given to change, too, and belongs to the cell.
			for _, try := range []string{"open('ROOT/b/new', 'w').write('x')", "os.rename('ROOT/b/new', 'ROOT/b/other')", "os.remove('ROOT/b/other')"} {
				if got := attempt(t, cells[0], strings.ReplaceAll(try, "ROOT", root)); (got == "done") != changes(kernel) {
					t.Errorf("%s: %s", try, got)
				}
			}
		})
	}
}

// sameHost fails unless the cells share their host.
func sameHost(tb testing.TB, cells ...cell.Cell) {
	tb.Helper()
	hosts := map[int]bool{}
	for _, c := range cells {
		r, err := c.Inspect(soon(tb))
		if err != nil {
			tb.Fatal(err)
		}
		hosts[r.HostPID] = true
	}
	if len(hosts) != 1 {
		tb.Errorf("they have hosts %v", hosts)
	}
}

// TestQuotasOfTheKernel: the kernel counts what a cell does to the network, and stops it.
func TestQuotasOfTheKernel(t *testing.T) {
	kernel := newKernel(t)
	heard := newDenials()
	l := newLauncher(t, launch.Config{Kernel: kernel})
	p := connects(listen(t))
	p.Quotas.Connects = 3
	c := spawn(t, l, cell.Spec{Imports: []string{"os", "socket"}, Policy: p, Sink: heard})
	posts(t, c, attempts+"\nimport socket")
	for i := range 5 {
		got := attempt(t, c, fmt.Sprintf("socket.create_connection(('127.0.0.1', %d), 20).recv(99).decode()", p.Net[0].Ports[0].First))
		if want := i < 3; (got == publicText) != want {
			t.Errorf("connection %d: %s", i+1, got)
		}
	}
	r, err := c.Inspect(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if u := r.Kernel; u == nil || u.Connects != 3 || u.Denied != 2 || u.Received == 0 || u.CPU == 0 {
		t.Errorf("%+v", u)
	}
	if got := heard.await(t, "quota connects"); got.Kernel != "over quota" || got.Capability != "net" || got.Cell != c.ID() {
		t.Errorf("%+v", got)
	}
}

// TestContract: assertions beside the rules, judged in the kernel and replaced while the cell runs.
func TestContract(t *testing.T) {
	kernel := newKernel(t)
	heard := newDenials()
	l := newLauncher(t, launch.Config{Kernel: kernel})
	one, two := listen(t), listen(t)
	anywhere := policy.Policy{Net: []policy.NetRule{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}}
	p := anywhere
	p.Contract = fmt.Sprintf("connect.port == %d", one)
	c := spawn(t, l, cell.Spec{Imports: []string{"os", "socket"}, Policy: &p, Sink: heard})
	posts(t, c, attempts+"\nimport socket")
	reaches := func(port uint16) bool {
		return attempt(t, c, fmt.Sprintf("socket.create_connection(('127.0.0.1', %d), 20).recv(99).decode()", port)) == publicText
	}
	if !reaches(one) || reaches(two) {
		t.Error("the contract does not hold")
	}
	if got := heard.await(t, "contract, line 1 column 1"); got.Capability != "net" {
		t.Errorf("%+v", got)
	}
	p.Contract = fmt.Sprintf("connect.port == %d\nconnects <= 3", two)
	if _, err := c.Reload(soon(t), cell.Revision{Policy: p}); err != nil {
		t.Fatal(err)
	}
	if reaches(one) || !reaches(two) || !reaches(two) || reaches(two) {
		t.Error("the new contract does not hold")
	}
	if _, err := c.Reload(soon(t), cell.Revision{Policy: anywhere}); err != nil {
		t.Fatal(err)
	}
	if !reaches(one) || !reaches(two) {
		t.Error("without a contract something is refused")
	}
	p.Contract = "connect.prot == 1"
	if _, err := c.Reload(soon(t), cell.Revision{Policy: p}); cell.KindOf(err) != cell.Invalid || !strings.Contains(err.Error(), "1:1") {
		t.Errorf("a contract that means nothing: %v", err)
	}
}

// TestProcessorInTotal: a cell that has used up the processor time of its life ends, though
// what runs in it asks nothing of the kernel.
func TestProcessorInTotal(t *testing.T) {
	kernel := newKernel(t)
	l := newLauncher(t, launch.Config{Kernel: kernel})
	for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		t.Run(string(b), func(t *testing.T) {
			c := spawn(t, l, cell.Spec{Backend: b, Policy: &policy.Policy{Quotas: policy.Quotas{CPUTotal: 200 * time.Millisecond}}})
			alive(t, c)
			err := c.Exec(soon(t), source("while True: pass"))
			if !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "cpu_total") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestQuietLibraries: what Python's libraries open for themselves is not told as what the guest
// was denied.
func TestQuietLibraries(t *testing.T) {
	l := newLauncher(t, launch.Config{Kernel: newKernel(t)})
	for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		heard := newDenials()
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"*"}, Sink: heard,
			Policy: fileRules(policy.FileRule{Path: newTree(t) + "/a", Access: policy.Read})})
		posts(t, c, attempts+`
import bz2, hashlib, lzma, zlib
for library in bz2, lzma, zlib: # each has buffers of its own, which go back to the system
    for _ in range(3):
        library.compress(bytes(1 << 20))
hashlib.sha256(b'x')
`)
		attempt(t, c, "open('/etc/passwd')")
		select {
		case first := <-heard.told:
			if first.Action != "open /etc/passwd" {
				t.Errorf("%+v", first)
			}
		case <-soon(t).Done():
			t.Error("the guest's own open is not told as denied")
		}
	}
}

// denials is a sink that passes them on.
type denials struct {
	recorder
	told chan cell.Denial
}

func newDenials() *denials { return &denials{told: make(chan cell.Denial, 256)} }

func (d *denials) Denied(got cell.Denial) {
	select {
	case d.told <- got:
	default: // more than any test is told of
	}
}

// await waits for the denial by a rule: the kernel tells it beside the refusal.
func (d *denials) await(tb testing.TB, rule string) cell.Denial {
	tb.Helper()
	for ctx := soon(tb); ; {
		select {
		case got := <-d.told:
			if got.Rule == rule {
				return got
			}
		case <-ctx.Done():
			tb.Fatalf("no denial by %s", rule)
		}
	}
}
