package systemtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// powerless fails unless no thread of the process has, or can get, a capability.
// Who has none cannot empty the bounding set, and without new privileges need not.
func powerless(t *testing.T, pid int) {
	t.Helper()
	none := "0000000000000000"
	fields := map[string]string{"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none, "NoNewPrivs": "1"}
	if os.Getuid() == 0 {
		fields["CapBnd"] = none
	}
	for field, want := range fields {
		for _, got := range threadStatus(t, pid, field) {
			if got != want {
				t.Errorf("%s of process %d is %s, want %s", field, pid, got, want)
			}
		}
	}
}

func eachStart(t *testing.T, test func(t *testing.T, c launch.Config)) {
	for name, config := range map[string]launch.Config{"forked": {}, "executed": {NoZygote: true}, "without namespaces": {NoNamespaces: true}} {
		config.PoolSize = -1
		t.Run(name, func(t *testing.T) { test(t, config) })
	}
}

func TestProcessCellIsNobody(t *testing.T) {
	eachStart(t, func(t *testing.T, config launch.Config) {
		l := newLauncher(t, config)
		seen := map[uint32]bool{}
		for _, tenant := range []string{"a", "b", "c"} {
			c := spawn(t, l, cell.Spec{Backend: cell.Process, Tenant: tenant, Limits: cell.Limits{Children: 3}, Imports: []string{"*"}})
			posts(t, c, "import decimal, sqlite3, threading, xml.dom.minidom\nt = threading.Thread(target=int)\nt.start()\nt.join()\npost(1)")
			r := report(t, c)
			pids := cellPIDs(t, r.HostPID)
			if len(pids) != 1 {
				t.Fatalf("one cell has processes %v", pids)
			}
			powerless(t, pids[0])
			id := fmt.Sprint(r.UID, r.UID, r.UID, r.UID)
			for _, got := range threadStatus(t, pids[0], "Uid") {
				if got != id {
					t.Errorf("users %s, want %s", got, id)
				}
			}
			counted := os.Getuid() == 0 || slices.Contains(r.Namespaces, "user")
			if limit := processLimit(t, pids[0]); counted != (limit == 2*3+16) {
				t.Errorf("limit of processes %d", limit)
			}
			if os.Getuid() != 0 {
				if r.UID != uint32(os.Getuid()) || !strings.Contains(l.Stats().NoUser, "not root") {
					t.Errorf("user %d of a node that is not root: %+v", r.UID, l.Stats())
				}
				continue
			}
			if r.UID == 0 || seen[r.UID] || l.Stats().NoUser != "" {
				t.Errorf("user %d: %+v", r.UID, l.Stats())
			}
			seen[r.UID] = true
			for _, field := range []string{"Gid", "Groups"} {
				if got := threadStatus(t, pids[0], field)[0]; got != map[string]string{"Gid": id, "Groups": ""}[field] {
					t.Errorf("%s is %q", field, got)
				}
			}
		}
	})
}

// processLimit is the hard limit of processes; what is unlimited or unreadable, 0.
func processLimit(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "Max processes")
	fields := strings.Fields(rest)
	n, _ := strconv.Atoi(fields[1])
	return n
}

func TestHostOfThreadsIsPowerless(t *testing.T) {
	l := newLauncher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{Imports: []string{"*"}})
	posts(t, c, "import asyncio, sqlite3")
	powerless(t, report(t, c).HostPID)
}

// A Python that only root may reach is brought within the cells' reach, and one
// that only root may read is not: the cells then are root's, and that is told.
func TestPythonBehindAClosedDirectory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the node is not root: its cells read what it reads")
	}
	p, err := python()
	if err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(t.TempDir(), "closed")
	home := filepath.Join(closed, "python")
	if err := os.CopyFS(home, os.DirFS(p.Home)); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{closed: 0o700, filepath.Join(closed, "secret"): 0o700} {
		if err := os.MkdirAll(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	p.Lib, p.Stdlib, p.Home = moved(t, p.Lib, p.Home, home), moved(t, p.Stdlib, p.Home, home), home
	run := func(t *testing.T, config launch.Config) (cell.Report, launch.Stats) {
		config.Python = p
		l, err := launch.New(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close(soon(t)) })
		c := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: []string{"*"}})
		if got := posts(t, c, "import sqlite3, email.message\npost(email.message.__file__)"); !strings.Contains(got[0], home) {
			t.Errorf("the library is in %s", got)
		}
		r := report(t, c)
		for _, pid := range cellPIDs(t, r.HostPID) {
			entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/root%s", pid, closed))
			if err != nil || r.UID != 0 && (len(entries) != 1 || entries[0].Name() != "python") {
				t.Errorf("the cell sees %v in the closed directory, %v", entries, err)
			}
		}
		return r, l.Stats()
	}
	eachStart(t, func(t *testing.T, config launch.Config) {
		if r, s := run(t, config); r.UID == 0 || s.NoUser != "" {
			t.Errorf("user %d, %q", r.UID, s.NoUser)
		}
	})
	if err := os.Chmod(p.Stdlib, 0o700); err != nil {
		t.Fatal(err)
	}
	eachStart(t, func(t *testing.T, config launch.Config) {
		if r, s := run(t, config); r.UID != 0 || !strings.Contains(s.NoUser, "let everybody read "+home) {
			t.Errorf("user %d, %q", r.UID, s.NoUser)
		}
	})
}

func moved(t *testing.T, path, from, to string) string {
	t.Helper()
	rest, found := strings.CutPrefix(path, from)
	if !found {
		t.Fatalf("%s is not in %s", path, from)
	}
	return to + rest
}
