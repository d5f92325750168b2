package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What a host with one hostile cell, its sibling and a spare may use at most: some times
// the limits of one cell, and far below what the probes ask for.
const (
	mostMemory  = 512 << 20
	mostThreads = 96
	mostFiles   = 256
)

// bounds says what the probe's processes use beyond what is right. Only a tenant that the
// probe has alone can be measured.
func (p probe) bounds(t *testing.T, w *world) (found []string) {
	t.Helper()
	if !p.alone {
		return nil
	}
	for _, pid := range descent(w.report.HostPID) {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		if kb := status(dir, "VmHWM"); kb<<10 > mostMemory {
			found = append(found, fmt.Sprintf("a process had %d MiB", kb>>10))
		}
		if n := status(dir, "Threads"); n > mostThreads {
			found = append(found, fmt.Sprintf("a process has %d threads", n))
		}
		if fds, _ := os.ReadDir(filepath.Join(dir, "fd")); len(fds) > mostFiles {
			found = append(found, fmt.Sprintf("a process has %d files open", len(fds)))
		}
	}
	return found
}

// status is a number in a process's status; 0 when it has ended.
func status(dir, field string) (n int64) {
	text, _ := os.ReadFile(filepath.Join(dir, "status"))
	if _, rest, ok := strings.Cut(string(text), "\n"+field+":"); ok {
		_, _ = fmt.Sscan(rest, &n)
	}
	return n
}

// descent is a process and its descendants.
func descent(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		for _, path := range must1(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))) {
			text, _ := os.ReadFile(path)
			for child := range strings.FieldsSeq(string(text)) {
				if n, err := strconv.Atoi(child); err == nil {
					all = append(all, n)
				}
			}
		}
	}
	return all
}
