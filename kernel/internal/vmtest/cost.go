package vmtest

import (
	"fmt"
	"strings"
)

// Cost is what the kernel's verifier looked at to let an eBPF program in.
type Cost struct {
	// Kind is how the program is attached, Program its name.
	Kind, Program string
	Instructions  int
}

// costMark is in lines that a test logs, before a Cost's fields.
const costMark = ": verified "

// readCost finds a cost in a line.
func readCost(line string) (Cost, bool) {
	_, text, found := strings.Cut(line, costMark)
	if !found {
		return Cost{}, false
	}
	var c Cost
	_, err := fmt.Sscan(text, &c.Kind, &c.Program, &c.Instructions)
	return c, err == nil
}
