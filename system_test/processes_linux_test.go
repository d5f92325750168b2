package systemtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// process is what /proc says of one.
type process struct {
	pid, parent int
	comm        string
}

// processesUnder lists a process's descendants.
func processesUnder(t *testing.T, pid int) []process {
	t.Helper()
	byParent := map[int][]process{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(files) == 0 {
		t.Fatalf("list /proc: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		open, end := strings.IndexByte(string(data), '('), strings.LastIndexByte(string(data), ')')
		p := process{comm: string(data[open+1 : end])}
		var state string
		if _, err := fmt.Sscan(string(data[:open]), &p.pid); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(data[end+1:]), &state, &p.parent); err != nil {
			t.Fatal(err)
		}
		byParent[p.parent] = append(byParent[p.parent], p)
	}
	found := byParent[pid]
	for i := 0; i < len(found); i++ {
		found = append(found, byParent[found[i].pid]...)
	}
	return found
}

// called are those of a name.
func called(all []process, comm string) (pids []int) {
	for _, p := range all {
		if p.comm == comm {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// cellPIDs are the processes of a host's cells; with a host that keeps no pool and
// has one cell, that cell's.
func cellPIDs(t *testing.T, hostPID int) []int {
	t.Helper()
	return called(processesUnder(t, hostPID), "pyisolate-cell")
}

// threadStatus reads a field of /proc/PID/status for each thread.
func threadStatus(t *testing.T, pid int, field string) (values []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/[0-9]*/status"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no threads of process %d: %v", pid, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		_, rest, found := strings.Cut(string(data), "\n"+field+":")
		if !found {
			t.Fatalf("%s has no %s", file, field)
		}
		line, _, _ := strings.Cut(rest, "\n")
		values = append(values, strings.Join(strings.Fields(line), " "))
	}
	return values
}

func report(tb testing.TB, c cell.Cell) cell.Report {
	tb.Helper()
	r, err := c.Inspect(soon(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}
