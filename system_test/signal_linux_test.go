package systemtest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// segfaultRunningCell does to the one cell that is running what a wild pointer
// in its thread would.
func segfaultRunningCell(t *testing.T) {
	t.Helper()
	for ctx := soon(t); ctx.Err() == nil; {
		stats, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/stat")
		for _, path := range stats {
			data, _ := os.ReadFile(path)
			if !strings.Contains(string(data), "(pyisolate-cell) R ") {
				continue
			}
			part := strings.Split(path, "/")
			pid, _ := strconv.Atoi(part[2])
			tid, _ := strconv.Atoi(part[4])
			if err := unix.Tgkill(pid, tid, syscall.SIGSEGV); err == nil {
				return
			}
		}
	}
	t.Fatal("no running cell found")
}
