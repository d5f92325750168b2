package hostile

import (
	"os"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/kernel/stack"
)

// plan is what one run tries.
type plan struct {
	columns  []column
	families []family
	// kernel: only what the kernel decides, in an emulated machine, which is slow.
	kernel bool
}

// tries says whether a technique is tried in a column. With all layers only that which the
// LSM's programs alone do not hold, or are not asked about.
func (p plan) tries(technique probe, c column) bool {
	if c.stack != all {
		return true
	}
	_, through := technique.passes(column{c.backend, lsm})
	return technique.refused || through
}

// patience is how many times longer than on a machine of its own everything may take.
func (p plan) patience() time.Duration {
	if p.kernel {
		return 10
	}
	return 1
}

// workers is how many probes run at a time: most wait for something.
func (p plan) workers() int {
	if p.kernel {
		return 2
	}
	return 4
}

// hostColumns are in docs/hostile-matrix.md, of a machine that loads no LSM programs.
var hostColumns = columnsOf(dev, bare, gate, programs)

// kernelFamilies are those that the kernel's layers have to do with.
var kernelFamilies = []string{"process", "files", "proc", "descriptors", "unix", "network", "seccomp", "paths", "reach"}

// choose plans by PYISOLATE_HOSTILE: "kernel" is for machines that run little else, and
// slowly; everything else is for the one that the matrix is of.
func choose(g stack.Guard) plan {
	if os.Getenv("PYISOLATE_HOSTILE") != "kernel" {
		return plan{columns: hostColumns, families: families}
	}
	p := plan{kernel: true, columns: columnsOf(programs)}
	if g.Layer == stack.LSM {
		p.columns = columnsOf(lsm, all)
	}
	p.families = familiesOf(kernelFamilies)
	return p
}

func familiesOf(names []string) (list []family) {
	for _, f := range families {
		if slices.Contains(names, f.name) {
			list = append(list, f)
		}
	}
	return list
}
