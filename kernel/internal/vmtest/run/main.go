// Command run tests the packages of room kernel, and cells that are bound to its programs,
// under Debian's kernels, each with and without "bpf" among the active security modules:
// `make test-kernel`. The kernels come as packages that are unpacked and never installed.
// The suites are in suite.go. More than one part takes machines of its own, so that each
// ends within five minutes.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

var (
	kernels = flag.String("kernels", "6.1,6.12", "the kernels' versions")
	bpf     = flag.String("bpf", "with,without", "with or without bpf among the security modules, or both")
	names   = flag.String("suites", "kernel/doctor,grade/system/threads/processes", "what to run, see suite.go; after a slash, in a machine of its own")
	only    = flag.String("packages", "", "packages below kernel/ that suite kernel tests; default all that have tests")
	dir     = flag.String("dir", "bin/test-kernel", "where kernels, test binaries and logs are kept")
	table   = flag.String("costs", "docs/verifier-cost.md", "where to write what the verifier looked at, when all kernels were asked for")
	flags   = flag.String("flags", "", "more flags for the tests, as -test.bench=.; what they print is in the logs")
	update  = flag.Bool("update", false, "keep what the hostile suite finds, and compare it with nothing")
	limit   = flag.Duration("timeout", 5*time.Minute, "for each machine")
	atOnce  = flag.Int("machines", max(1, runtime.NumCPU()/2), "how many machines run at a time; each keeps a processor busy")
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
	list, err := machines()
	if err != nil {
		return false, err
	}
	reports := make([]chan bool, len(list))
	var running sync.WaitGroup
	free := make(chan struct{}, *atOnce)
	for i, m := range list {
		reports[i] = make(chan bool, 1)
		running.Go(func() {
			free <- struct{}{}
			m.boot()
			<-free
			reports[i] <- true
		})
	}
	for i, m := range list { // in order, as each ends
		<-reports[i]
		failed = m.report(os.Stdout) || failed
	}
	running.Wait()
	c := costs{}
	for _, m := range list {
		for _, r := range m.results {
			c.add(strings.TrimPrefix(filepath.Base(m.image), "vmlinuz-"), r.Costs)
		}
	}
	if *kernels != flag.Lookup("kernels").DefValue || len(c) == 0 || failed {
		return failed, nil // a table with less in it than there was
	}
	return false, os.WriteFile(*table, c.table(), 0o644)
}

// machines are those to boot: for each kernel, with and without bpf, and for each part of
// the suites.
func machines() (list []*machine, err error) {
	parts := strings.Split(*names, "/")
	files := make([][]byte, len(parts))
	for i, part := range parts {
		chosen, err := choose(part)
		if err != nil {
			return nil, err
		}
		if files[i], err = build(*dir, chosen); err != nil {
			return nil, err
		}
	}
	for version := range strings.SplitSeq(*kernels, ",") {
		image, err := kernel(*dir, version)
		if err != nil {
			return nil, err
		}
		for with := range strings.SplitSeq(*bpf, ",") {
			for i := range parts {
				log := filepath.Join(*dir, fmt.Sprintf("%s-%s-bpf", version, with))
				if i > 0 {
					log += fmt.Sprintf("-%d", i+1)
				}
				list = append(list, &machine{version: version, image: image, bpf: with == "with", files: files[i], log: log + ".log"})
			}
		}
	}
	return list, nil
}
