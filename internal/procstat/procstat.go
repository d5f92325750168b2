// Package procstat reads /proc/PID/stat.
package procstat

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// Fields of a process behind its name, which may have anything in it: the first is proc(5)'s third, the state. There is at
// least that one.
func Fields(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) == 0 {
		return nil, fmt.Errorf("/proc/%d/stat says nothing", pid)
	}
	return fields, nil
}
