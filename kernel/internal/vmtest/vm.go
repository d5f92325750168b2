package vmtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// VM is a machine to run tests in.
type VM struct {
	// Kernel is the file of a kernel that can be booted.
	Kernel string
	// Files is its initial file system; /init runs what is in TestsDir.
	Files []byte
	// Modules are the active security modules, in order: the kernel's lsm=.
	Modules []string
	// Memory is how much it has, in MiB; default 1536.
	Memory int
	// Log gets all that the machine prints.
	Log io.Writer
	// QEMU is the program, "qemu-system-x86_64" by default.
	QEMU string
}

// TestsDir is where init looks for tests: a directory for each, with a program "test".
const TestsDir = "/tests"

// InsideEnv is set for tests in a machine of ours, whose kernel is known to refuse nothing.
const InsideEnv = "VMTEST_INSIDE"

// FlagsFile has more flags for all tests that have no CommandFile.
const FlagsFile = "/flags"

// CommandFile, beside a test's program, is a Command; without it the program is a test
// binary that wants no flags of its own.
const CommandFile = "command.json"

// Command is how a test's program is run.
type Command struct {
	Args []string `json:"args"`
	// Env is added to what all tests have.
	Env []string `json:"env"`
}

// Marks that init prints on lines of their own, followed by the test's name.
const (
	MarkBegin = "=== VM BEGIN "
	MarkEnd   = "=== VM END "
	MarkDone  = "=== VM DONE"
)

// Result is how one test binary ended.
type Result struct {
	Name string
	// Status is its exit status, -1 where it did not end.
	Status int
	Took   time.Duration
	// Passed, Skips and Fails are of its top-level tests, and skips of all below; the
	// last two as they were printed.
	Passed       int
	Skips, Fails []string
	// Costs are what tests logged of programs that they loaded.
	Costs []Cost
	// Reasons are why tests were skipped, each once, with how often.
	Reasons map[string]int
	// Objects are lines that are JSON objects, as a program prints that is no test.
	Objects []string

	// test is whose log the lines are, and said what each said last.
	test string
	said map[string]string
}

// Run boots the machine and waits until it is off, or ctx ends, which is an error, as is a
// machine that went off before its tests had ended.
func (v VM) Run(ctx context.Context) ([]Result, error) {
	dir, err := os.MkdirTemp("", "vmtest")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	files := filepath.Join(dir, "files.cpio")
	if err := os.WriteFile(files, v.Files, 0o600); err != nil {
		return nil, err
	}
	qemu := v.QEMU
	if qemu == "" {
		qemu = "qemu-system-x86_64"
	}
	if v.Memory == 0 {
		v.Memory = 1536
	}
	const far = 512
	// One thread for both processors: with two, the kernel's patching of its own code
	// now and then meets a processor that interprets the old bytes.
	c := exec.CommandContext(ctx, qemu, "-accel", "tcg,thread=single", "-cpu", "max,-cx16", "-smp", "2", "-m", strconv.Itoa(v.Memory),
		// Two nodes, so that package numa has something to choose from.
		"-object", "memory-backend-ram,id=near,size="+strconv.Itoa(v.Memory-far)+"M", "-object", "memory-backend-ram,id=far,size="+strconv.Itoa(far)+"M",
		"-numa", "node,cpus=0,memdev=near", "-numa", "node,cpus=1,memdev=far",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", v.Kernel, "-initrd", files, "-append", v.commandLine())
	c.Stderr = v.Log
	c.WaitDelay = 5 * time.Second
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("vmtest: start %s: %w", qemu, err)
	}
	results, done, readErr := parse(io.TeeReader(out, v.Log))
	switch err := c.Wait(); {
	case ctx.Err() != nil:
		return results, fmt.Errorf("vmtest: the machine did not end: %w", context.Cause(ctx))
	case err != nil:
		return results, fmt.Errorf("vmtest: the machine: %w", err)
	case readErr != nil:
		return results, fmt.Errorf("vmtest: read the serial line: %w", readErr)
	case !done:
		return results, fmt.Errorf("vmtest: the machine went off before its tests had ended")
	default:
		return results, nil
	}
}

func (v VM) commandLine() string {
	line := "console=ttyS0 quiet loglevel=3 panic=-1 cgroup_no_v1=all lsm=" + strings.Join(v.Modules, ",")
	if khz := tscKHz(); khz > 0 { // without it the kernel measures an interpreted clock
		line += fmt.Sprintf(" tsc_early_khz=%d", khz)
	}
	return line
}

func tscKHz() int {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "cpu MHz" {
			var mhz float64
			if _, err := fmt.Sscan(value, &mhz); err == nil {
				return int(mhz * 1000)
			}
		}
	}
	return 0
}

// parse reads what the machine prints.
func parse(r io.Reader) (results []Result, done bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var current *Result
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		// The kernel's own lines may stand before a mark.
		if i := strings.Index(line, "=== VM "); i > 0 {
			line = line[i:]
		}
		switch {
		case strings.HasPrefix(line, MarkBegin):
			results = append(results, Result{Name: strings.TrimPrefix(line, MarkBegin), Status: -1})
			current = &results[len(results)-1]
		case strings.HasPrefix(line, MarkEnd) && current != nil:
			var name, took string
			if _, err := fmt.Sscan(strings.TrimPrefix(line, MarkEnd), &name, &current.Status, &took); err == nil {
				current.Took, _ = time.ParseDuration(took)
			}
			current = nil
		case strings.HasPrefix(line, MarkDone):
			done = true
		case current != nil:
			current.read(line)
		}
	}
	return results, done, lines.Err()
}

// read takes a line of `go test -v`, or of another program.
func (r *Result) read(line string) {
	bare := strings.TrimLeft(line, " ")
	if c, ok := readCost(bare); ok {
		r.Costs = append(r.Costs, c)
	}
	switch {
	case strings.HasPrefix(line, "{") && json.Valid([]byte(line)):
		r.Objects = append(r.Objects, line)
	case strings.HasPrefix(line, "--- PASS:"):
		r.Passed++
	case strings.HasPrefix(line, "=== "): // RUN, NAME or CONT
		_, r.test, _ = strings.Cut(strings.TrimPrefix(line, "=== "), " ")
		r.test = strings.TrimSpace(r.test)
	case strings.HasPrefix(bare, "--- SKIP:"):
		r.Skips = append(r.Skips, bare)
		name, _, _ := strings.Cut(strings.TrimPrefix(bare, "--- SKIP: "), " ")
		r.skipped(name)
	case logged.MatchString(line):
		if r.said == nil {
			r.said = map[string]string{}
		}
		r.said[r.test] = logged.ReplaceAllString(line, "")
	case strings.HasPrefix(bare, "--- FAIL:"), strings.HasPrefix(line, "panic:"):
		r.Fails = append(r.Fails, bare)
	}
}

// logged begins a line of a test's log.
var logged = regexp.MustCompile(`^ +\S+\.go:\d+: `)

// skipped counts the test's reason, which is the last that it said.
func (r *Result) skipped(name string) {
	why := r.said[name]
	if why == "" {
		return
	}
	if r.Reasons == nil {
		r.Reasons = map[string]int{}
	}
	r.Reasons[why]++
}

// Failed reports whether the test did anything but pass.
func (r Result) Failed() bool { return r.Status != 0 || len(r.Fails) > 0 }
