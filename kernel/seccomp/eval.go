package seccomp

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Call is a system call as a filter sees it: struct seccomp_data.
type Call struct {
	Number  int32
	Arch    uint32
	Pointer uint64
	Args    [6]uint64
}

// Call returns call number n of a with args.
func (a Arch) Call(n int, args ...uint64) Call {
	c := Call{Number: int32(n), Arch: a.audit()}
	copy(c.Args[:], args)
	return c
}

func (c Call) word(offset uint32) uint32 {
	wide := func(v uint64) uint32 { return uint32(v >> (offset % 8 * 8)) }
	switch {
	case offset == offNumber:
		return uint32(c.Number)
	case offset == offArch:
		return c.Arch
	case offset < offArgs:
		return wide(c.Pointer)
	default:
		return wide(c.Args[(offset-offArgs)/8])
	}
}

// Eval interprets the program for one call, as the kernel would. It fails on a program
// that the kernel would not have taken.
func (p Program) Eval(c Call) (Action, error) {
	accumulator := uint32(0)
	for at := 0; at < len(p.code); {
		f := p.code[at]
		at++
		switch f.Code {
		case opLoad:
			if f.K%4 != 0 || f.K > dataSize-4 {
				return 0, fmt.Errorf("seccomp: instruction %d loads from %d", at-1, f.K)
			}
			accumulator = c.word(f.K)
		case opAnd:
			accumulator &= f.K
		case opEqual, opAtLeast, opAbove:
			at += taken(f, accumulator)
		case opJump:
			at += int(f.K)
		case opReturn:
			return Action(f.K), nil
		default:
			return 0, fmt.Errorf("seccomp: instruction %d is unknown (%#x)", at-1, f.Code)
		}
	}
	return 0, errors.New("seccomp: the program has no end")
}

func taken(f unix.SockFilter, accumulator uint32) int {
	var holds bool
	switch f.Code {
	case opEqual:
		holds = accumulator == f.K
	case opAtLeast:
		holds = accumulator >= f.K
	default:
		holds = accumulator > f.K
	}
	if holds {
		return int(f.Jt)
	}
	return int(f.Jf)
}
