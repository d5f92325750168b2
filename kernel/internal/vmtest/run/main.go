// Command run tests the packages of room kernel under Debian's kernels, each with and
// without "bpf" among the active security modules: `make test-kernel`. The kernels come
// as packages that are unpacked and never installed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

var (
	kernels = flag.String("kernels", "6.1,6.12", "the kernels' versions")
	bpf     = flag.String("bpf", "with,without", "with or without bpf among the security modules, or both")
	names   = flag.String("suites", "kernel,system", "what to run: kernel is the room's packages; see suite.go")
	only    = flag.String("packages", "", "packages below kernel/ that suite kernel tests; default all that have tests")
	dir     = flag.String("dir", "bin/test-kernel", "where kernels, test binaries and logs are kept")
	flags   = flag.String("flags", "", "more flags for the tests, as -test.bench=.; what they print is in the logs")
	limit   = flag.Duration("timeout", 5*time.Minute, "for each machine")
)

func main() {
	flag.Parse()
	failed, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "test-kernel:", err)
		os.Exit(1)
	}
	if failed {
		os.Exit(1)
	}
}

// machine is one that is booted.
type machine struct {
	version, image string
	bpf            bool // is among its security modules
}

func (m machine) modules() []string {
	list := []string{"landlock", "lockdown", "yama"}
	if m.bpf {
		list = append(list, "bpf")
	}
	return list
}

func (m machine) String() string {
	return fmt.Sprintf("%s, lsm=%s", filepath.Base(m.image), strings.Join(m.modules(), ","))
}

func run() (failed bool, err error) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return false, fmt.Errorf("%w (Debian: apt-get install --no-install-recommends qemu-system-x86)", err)
	}
	chosen, err := choose(*names)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return false, err
	}
	files, err := build(*dir, chosen)
	if err != nil {
		return false, err
	}
	for _, version := range strings.Split(*kernels, ",") {
		image, err := kernel(*dir, version)
		if err != nil {
			return false, err
		}
		for _, with := range strings.Split(*bpf, ",") {
			bad, err := boot(machine{version, image, with == "with"}, with, files)
			if err != nil {
				return true, err
			}
			failed = failed || bad
		}
	}
	return failed, nil
}

// memory is what a machine has, in MiB: its files, once as the archive and once unpacked,
// and what cells take.
func memory(files []byte) int { return 1536 + 3*len(files)>>20 }

// boot runs one machine and prints a line for each test binary.
func boot(m machine, with string, files []byte) (failed bool, err error) {
	path := filepath.Join(*dir, fmt.Sprintf("%s-%s-bpf.log", m.version, with))
	log, err := os.Create(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = log.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	begin := time.Now()
	results, err := vmtest.VM{Kernel: m.image, Files: files, Modules: m.modules(), Memory: memory(files), Log: log}.Run(ctx)
	fmt.Printf("%s, in %s (%s)\n", m, time.Since(begin).Round(time.Second), path)
	for _, r := range results {
		failed = report(m, r) || failed
	}
	if err != nil {
		return true, fmt.Errorf("%w; the last of %s says more", err, path)
	}
	if len(results) == 0 {
		return true, fmt.Errorf("no tests ran; %s says more", path)
	}
	return failed, nil
}

// report prints how a test binary ended.
func report(m machine, r vmtest.Result) (failed bool) {
	failed = r.Failed()
	summary := fmt.Sprintf("%4d passed %3d skipped %3d failed", r.Passed, len(r.Skips), len(r.Fails))
	at := slices.IndexFunc(suites, func(s suite) bool { return s.name == r.Name })
	if at >= 0 && suites[at].check != nil && !failed {
		said, err := suites[at].check(m, r)
		if err != nil {
			failed, said = true, err.Error()
		}
		summary = said
	}
	word := map[bool]string{true: "FAIL", false: "ok"}[failed]
	fmt.Printf("%-4s %-20s %s  %s\n", word, r.Name, summary, r.Took)
	for _, line := range r.Fails {
		fmt.Println("       ", line)
	}
	return failed
}
