package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

// machine is one that is booted, and what came of it.
type machine struct {
	version, image string
	bpf            bool   // is among its security modules
	files          []byte // its initial file system
	log            string // where what it prints is kept

	took    time.Duration
	results []vmtest.Result
	err     error
}

func (m *machine) modules() []string {
	list := []string{"landlock", "lockdown", "yama"}
	if m.bpf {
		list = append(list, "bpf")
	}
	return list
}

// memory is what the machine has, in MiB: its files, as the archive and unpacked, and what
// cells take.
func (m *machine) memory() int { return 1536 + 3*len(m.files)>>20 }

// boot runs the machine until it is off, or the time is up.
func (m *machine) boot() {
	log, err := os.Create(m.log)
	if err != nil {
		m.err = err
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	begin := time.Now()
	m.results, m.err = vmtest.VM{Kernel: m.image, Files: m.files, Modules: m.modules(), Memory: m.memory(), Log: log}.Run(ctx)
	m.took = time.Since(begin)
	m.err = errors.Join(m.err, log.Close())
	if m.err == nil && len(m.results) == 0 {
		m.err = errors.New("no tests ran")
	}
}

// report prints a line for each test binary, and what failed.
func (m *machine) report(w io.Writer) (failed bool) {
	fmt.Fprintf(w, "%s, lsm=%s, in %s (%s)\n", filepath.Base(m.image), strings.Join(m.modules(), ","), m.took.Round(time.Second), m.log)
	for _, r := range m.results {
		failed = m.summarize(w, r) || failed
	}
	if m.err != nil {
		fmt.Fprintf(w, "FAIL %v; the last of %s says more\n", m.err, m.log)
	}
	return failed || m.err != nil
}

func (m *machine) summarize(w io.Writer, r vmtest.Result) (failed bool) {
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
	fmt.Fprintf(w, "%-4s %-20s %s  %s\n", word, r.Name, summary, r.Took.Round(100*time.Millisecond))
	for _, line := range r.Fails {
		fmt.Fprintln(w, "       ", line)
	}
	for _, why := range slices.Sorted(maps.Keys(r.Reasons)) {
		fmt.Fprintf(w, "        skipped %d: %.160s\n", r.Reasons[why], why)
	}
	return failed
}
