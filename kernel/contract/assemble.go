package contract

import (
	"github.com/cilium/ebpf/asm"
)

// program is what was assembled.
type program struct {
	code asm.Instructions
	// places say of each of the kernel's instructions where in the contract it comes from.
	places []Position
}

// label is a place to jump to, before or after it is known.
type label int

// assembler appends instructions and resolves jumps. Package asm's own labels are one to
// an instruction and need names.
type assembler struct {
	program
	size   int          // in the kernel's instructions: a 64-bit constant is two
	labels []int        // where they are
	jumps  map[int]jump // by index in code
	place  Position     // of what is being assembled
}

type jump struct {
	to    label
	after int // the kernel's instruction after it, from which jumps count
}

func (a *assembler) emit(list ...asm.Instruction) {
	for _, i := range list {
		a.code = append(a.code, i)
		width := int(i.Size()) / asm.InstructionSize
		for range width {
			a.places = append(a.places, a.place)
		}
		a.size += width
	}
}

func (a *assembler) label() label {
	a.labels = append(a.labels, -1)
	return label(len(a.labels) - 1)
}

// here puts a label before what is emitted next.
func (a *assembler) here(l label) { a.labels[l] = a.size }

// jump emits a jump, conditional or not.
func (a *assembler) jump(i asm.Instruction, to label) {
	a.emit(i)
	if a.jumps == nil {
		a.jumps = map[int]jump{}
	}
	a.jumps[len(a.code)-1] = jump{to, a.size}
}

// goTo jumps unless the label comes next.
func (a *assembler) goTo(to, next label) {
	if to != next {
		a.jump(asm.Ja.Label(""), to)
	}
}

// number emits a jump that is taken when a 64-bit register compares with n. R4 is lost.
func (a *assembler) number(op asm.JumpOp, r asm.Register, n uint64, to label) {
	if n <= 1<<31-1 {
		a.jump(op.Imm(r, int32(n), ""), to)
		return
	}
	a.emit(asm.LoadImm(asm.R4, int64(n), asm.DWord))
	a.jump(op.Reg(r, asm.R4, ""), to)
}

// finish fills in the jumps. They fit: MaxProgram, with what comes before and behind the
// assertions, is less than the 32767 of an offset.
func (a *assembler) finish() *program {
	for at, j := range a.jumps {
		a.code[at].Offset = int16(a.labels[j.to] - j.after)
	}
	return &a.program
}
