package contract

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
)

var (
	// The verifier prints each instruction as it comes to it: "12: (79) r3 = …".
	visited = regexp.MustCompile(`^(\d+): \([0-9a-f]{2}\)`)
	// What it finds before it walks names the instruction: "unreachable insn 12".
	named = regexp.MustCompile(`\binsn (\d+)`)
)

// lacks says that programs of this type cannot have task storage, in the words of newer
// kernels and of older ones.
var lacks = regexp.MustCompile(`cannot use helper|unknown func`)

func isStatistics(line string) bool {
	for _, p := range []string{"processed ", "verification time", "stack depth", "mark_precise"} {
		if strings.HasPrefix(line, p) {
			return true
		}
	}
	return false
}

// instruction finds in a log which instruction was refused; -1 if it does not tell. A fault
// is at the instruction that the verifier came to last.
func instruction(log []string) int {
	for _, line := range slices.Backward(log) {
		if isStatistics(line) {
			continue
		}
		for _, e := range []*regexp.Regexp{visited, named} {
			if m := e.FindStringSubmatch(line); m != nil {
				if n, err := strconv.Atoi(m[1]); err == nil {
					return n
				}
			}
		}
	}
	return -1
}

func (p *program) rejected(h Hook, t Target, refused *ebpf.VerifierError) error {
	e := &RejectedError{Hook: h, Instruction: instruction(refused.Log), Log: refused.Log, Err: refused.Cause}
	if e.Instruction >= 0 && e.Instruction < len(p.places) {
		e.Position = p.places[e.Instruction]
	}
	if e.Position == (Position{}) && lacks.MatchString(e.reason()) {
		return fmt.Errorf("%w: on this kernel programs of type %s cannot find their thread's event: %w", ErrTarget, t.Type, e)
	}
	return e
}
