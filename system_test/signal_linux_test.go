package systemtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// segfaultRunningCell does to the one cell that is running in a host or below it what a
// wild pointer in its thread would.
func segfaultRunningCell(t *testing.T, hostPID int) {
	t.Helper()
	for ctx := soon(t); ctx.Err() == nil; {
		for _, p := range append(processesUnder(t, hostPID), process{pid: hostPID}) {
			if segfaultRunningThread(p.pid) {
				return
			}
		}
	}
	t.Fatal("no running cell found")
}

func segfaultRunningThread(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/stat", pid))
	for _, path := range stats {
		data, _ := os.ReadFile(path)
		if !strings.Contains(string(data), "(pyisolate-cell) R ") {
			continue
		}
		tid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if unix.Tgkill(pid, tid, syscall.SIGSEGV) == nil {
			return true
		}
	}
	return false
}
