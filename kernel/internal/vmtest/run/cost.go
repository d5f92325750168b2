package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

// program is a row of the table.
type program struct{ kind, name string }

// costs are the verifier's costs by kernel and program.
type costs map[string]map[program]int

func (c costs) add(kernel string, list []vmtest.Cost) {
	for _, cost := range list {
		if c[kernel] == nil {
			c[kernel] = map[program]int{}
		}
		c[kernel][program{cost.Kind, cost.Program}] = cost.Instructions
	}
}

// table writes them as Markdown, a column for each kernel.
func (c costs) table() []byte {
	kernels := slices.SortedFunc(maps.Keys(c), compare)
	rows := map[program]bool{}
	for _, of := range c {
		for p := range of {
			rows[p] = true
		}
	}
	var b bytes.Buffer
	b.WriteString("# What the verifier looks at\n\n" +
		"Instructions that the kernel's verifier looked at before it let a program of `kernel/guard` in; it gives up at\n" +
		"1,000,000. Written by `make test-kernel`. A dash: this kernel has no such hook.\n\n| Kind | Program |")
	for _, k := range kernels {
		fmt.Fprintf(&b, " %s |", k)
	}
	b.WriteString("\n|---|---|")
	for range kernels {
		b.WriteString("--:|")
	}
	order := func(x, y program) int { return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.name, y.name)) }
	for _, p := range slices.SortedFunc(maps.Keys(rows), order) {
		fmt.Fprintf(&b, "\n| %s | `%s` |", p.kind, p.name)
		for _, k := range kernels {
			if n, ok := c[k][p]; ok {
				fmt.Fprintf(&b, " %d |", n)
			} else {
				b.WriteString(" – |")
			}
		}
	}
	b.WriteString("\n")
	return b.Bytes()
}
