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
	only    = flag.String("packages", "", "packages below kernel/ to test; default all that have tests")
	dir     = flag.String("dir", "bin/test-kernel", "where kernels, test binaries and logs are kept")
	table   = flag.String("costs", "docs/verifier-cost.md", "where to write what the verifier looked at, when all kernels were asked for")
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

func run() (failed bool, err error) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return false, fmt.Errorf("%w (Debian: apt-get install --no-install-recommends qemu-system-x86)", err)
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return false, err
	}
	files, err := build(*dir)
	if err != nil {
		return false, err
	}
	c := costs{}
	for _, version := range strings.Split(*kernels, ",") {
		image, err := kernel(*dir, version)
		if err != nil {
			return false, err
		}
		for _, with := range strings.Split(*bpf, ",") {
			bad, err := boot(image, version, with, files, c)
			if err != nil {
				return true, err
			}
			failed = failed || bad
		}
	}
	if *kernels != flag.Lookup("kernels").DefValue || len(c) == 0 || failed {
		return failed, nil // a table with less in it than there was
	}
	return false, os.WriteFile(*table, c.table(), 0o644)
}

// build makes the initial file system: init and a test binary for each package.
func build(dir string) ([]byte, error) {
	var a vmtest.Archive
	a.Dir("/dev")
	a.Device("/dev/console", 5, 1)
	a.Device("/dev/null", 1, 3)
	program := filepath.Join(dir, "init")
	if err := compile("build", "-o", program, "./kernel/internal/vmtest/init"); err != nil {
		return nil, err
	}
	if err := a.File("/init", program); err != nil {
		return nil, err
	}
	a.Data(vmtest.FlagsFile, []byte(*flags), false)
	packages, err := packages()
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		name := strings.ReplaceAll(p, "/", "-")
		program := filepath.Join(dir, name+".test")
		if err := compile("test", "-c", "-o", program, "./kernel/"+p); err != nil {
			return nil, err
		}
		at := vmtest.TestsDir + "/" + name
		if err := a.File(at+"/test", program); err != nil {
			return nil, err
		}
		if err := a.Tree(at+"/testdata", filepath.Join("kernel", p, "testdata")); err != nil {
			return nil, err
		}
	}
	return a.Bytes(), nil
}

// compile runs go without cgo and without what a test binary does not need.
func compile(command string, args ...string) error {
	c := exec.Command("go", append([]string{command, "-trimpath", "-ldflags=-s -w"}, args...)...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("go %s %v: %w", command, args, err)
	}
	return nil
}

// packages are those below kernel/ that have tests, but this one.
func packages() ([]string, error) {
	if *only != "" {
		return strings.Split(*only, ","), nil
	}
	out, err := exec.Command("go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}", "./kernel/...").Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	var list []string
	for path := range strings.FieldsSeq(string(out)) {
		_, inside, _ := strings.Cut(path, "/kernel/")
		if !strings.HasPrefix(inside, "internal/vmtest") {
			list = append(list, inside)
		}
	}
	slices.Sort(list)
	return list, nil
}

// boot runs one machine and prints a line for each package.
func boot(image, version, with string, files []byte, c costs) (failed bool, err error) {
	modules := []string{"landlock", "lockdown", "yama"}
	if with == "with" {
		modules = append(modules, "bpf")
	}
	path := filepath.Join(*dir, fmt.Sprintf("%s-%s-bpf.log", version, with))
	log, err := os.Create(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = log.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	begin := time.Now()
	results, err := vmtest.VM{Kernel: image, Files: files, Modules: modules, Log: log}.Run(ctx)
	fmt.Printf("%s, lsm=%s, %s (%s)\n", filepath.Base(image), strings.Join(modules, ","), time.Since(begin).Round(time.Second), path)
	for _, r := range results {
		c.add(strings.TrimPrefix(filepath.Base(image), "vmlinuz-"), r.Costs)
		word := "ok  "
		if r.Failed() {
			word, failed = "FAIL", true
		}
		fmt.Printf("%s %-20s %4d passed %3d skipped %3d failed  %s\n", word, r.Name, r.Passed, len(r.Skips), len(r.Fails), r.Took)
		for _, line := range r.Fails {
			fmt.Println("       ", line)
		}
	}
	if err != nil {
		return true, fmt.Errorf("%w; the last of %s says more", err, path)
	}
	if len(results) == 0 {
		return true, fmt.Errorf("no tests ran; %s says more", path)
	}
	return failed, nil
}
