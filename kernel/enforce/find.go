package enforce

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Task is a thread, or a process by its first one, as this PID namespace numbers it.
type Task struct {
	TID int
	// Process: all of the process is the cell's.
	Process bool
	// level is the host's PID namespace among those that number the task, and number what it
	// is there.
	level, number int
}

// ErrNoTask says that the host has no such thread or process.
var ErrNoTask = errors.New("enforce: the host has no such task")

// generations is how far below a host its cells' processes are: children of it, or of its
// zygote.
const generations = 2

// Find looks for the task that a host, by its own PID namespace, numbers n: among the host's
// threads or, for a process, among its descendants.
func Find(host, n int, process bool) (Task, error) {
	chain, err := numbers(host, host)
	if err != nil {
		return Task{}, err
	}
	level := len(chain) - 1 // of the host's namespace in everybody's numbers below it
	candidates, err := threads(host)
	if process {
		candidates, err = descendants(host, generations)
	}
	if err != nil {
		return Task{}, err
	}
	for _, tid := range slices.Backward(candidates) { // it is among the youngest
		t := Task{TID: tid, Process: process, level: level, number: n}
		if t.is(host) {
			return t, nil
		}
	}
	return Task{}, fmt.Errorf("%w: %d of host %d", ErrNoTask, n, host)
}

// is reports whether the task is what the host numbers so.
func (t Task) is(host int) bool {
	of := t.TID
	if !t.Process {
		of = host
	}
	ns, err := numbers(of, t.TID)
	return err == nil && t.level < len(ns) && ns[t.level] == t.number
}

func taskDir(pid, tid int) string {
	return filepath.Join("/proc", strconv.Itoa(pid), "task", strconv.Itoa(tid))
}

// alive reports whether the task is there. A number that was given to another since counts
// as alive: the caller errs on the safe side.
func (t Task) alive(host int) bool {
	pid := host
	if t.Process {
		pid = t.TID
	}
	text, err := os.ReadFile(filepath.Join(taskDir(pid, t.TID), "stat"))
	if err != nil {
		return false
	}
	// The name in parentheses may contain anything.
	after := text[bytes.LastIndexByte(text, ')')+1:]
	return !bytes.HasPrefix(after, []byte(" Z")) && !bytes.HasPrefix(after, []byte(" X"))
}

// numbers are the task's, in each PID namespace from this one down to its own.
func numbers(pid, tid int) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(taskDir(pid, tid), "status"))
	if err != nil {
		return nil, fmt.Errorf("enforce: look at task %d: %w", tid, err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return fields(rest)
		}
	}
	return nil, fmt.Errorf("enforce: task %d tells no numbers", tid)
}

func fields(text string) ([]int, error) {
	var list []int
	for f := range strings.FieldsSeq(text) {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("enforce: read numbers of tasks: %w", err)
		}
		list = append(list, n)
	}
	return list, nil
}

func threads(pid int) ([]int, error) {
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		return nil, fmt.Errorf("enforce: list threads of %d: %w", pid, err)
	}
	list := make([]int, 0, len(entries))
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			list = append(list, tid)
		}
	}
	return list, nil
}

// descendants are the children of the process, whichever thread made them, and theirs.
func descendants(pid, depth int) ([]int, error) {
	tids, err := threads(pid)
	if err != nil {
		return nil, err
	}
	var list []int
	for _, tid := range tids {
		text, err := os.ReadFile(filepath.Join(taskDir(pid, tid), "children"))
		if err != nil {
			continue // the thread has ended
		}
		children, err := fields(string(text))
		if err != nil {
			return nil, err
		}
		for _, child := range children {
			list = append(list, child)
			if depth > 1 {
				below, err := descendants(child, depth-1)
				if err == nil {
					list = append(list, below...)
				}
			}
		}
	}
	return list, nil
}
