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
		_, stat, running := strings.Cut(string(data), "(pyisolate-cell) R ")
		if !running || userTicks(stat) < 10 { // one of the pool may be starting
			continue
		}
		tid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if unix.Tgkill(pid, tid, syscall.SIGSEGV) == nil {
			return true
		}
	}
	return false
}

// userTicks is the processor time in what /proc/PID/stat says behind the state.
func userTicks(stat string) int {
	const utime = 10 // field 14 of proc_pid_stat(5), as the fourth is the first here
	fields := strings.Fields(stat)
	if len(fields) <= utime {
		return 0
	}
	ticks, _ := strconv.Atoi(fields[utime])
	return ticks
}
