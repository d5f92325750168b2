package seccomp

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Options say which program to make.
type Options struct {
	Backend Backend
	// Arch is the architecture; "" is this process's.
	Arch Arch
	// Grants are what the cell's policy gives; none is the least.
	Grants Grant
}

// A Program is an assembled filter.
type Program struct {
	code  []unix.SockFilter
	holes []Hole
}

// A Hole is an instruction whose constant the installing thread fills in.
type Hole struct {
	At   int
	What What
}

// nobody is what holes contain until they are filled: no process has this number.
const nobody = 0xffffffff

var compiledPrograms sync.Map // Options to Program

// Compile returns the program of o. The few that there are, are assembled once.
func Compile(o Options) (Program, error) {
	if o.Arch == "" {
		var err error
		if o.Arch, err = Here(); err != nil {
			return Program{}, err
		}
	}
	if !slices.Contains(Arches, o.Arch) {
		return Program{}, fmt.Errorf("seccomp: there is no filter for %q", o.Arch)
	}
	if !slices.Contains(Backends, o.Backend) {
		return Program{}, fmt.Errorf("seccomp: there is no filter for backend %q", o.Backend)
	}
	if p, ok := compiledPrograms.Load(o); ok {
		return p.(Program), nil
	}
	p, err := compile(o)
	if err == nil {
		compiledPrograms.Store(o, p)
	}
	return p, err
}

func compile(o Options) (Program, error) {
	of, err := decisions(o)
	if err != nil {
		return Program{}, err
	}
	return assemble(o.Arch, of)
}

// Len returns the number of instructions.
func (p Program) Len() int { return len(p.code) }

// Holes returns what is to be filled in before the program is installed.
func (p Program) Holes() []Hole { return slices.Clone(p.holes) }

// Fill returns the program with its holes filled for a process and one of its threads.
// Both are numbers as the process itself sees them in its PID namespace.
func (p Program) Fill(process, thread int) Program {
	filled := Program{code: slices.Clone(p.code)}
	for _, h := range p.holes {
		switch h.What {
		case OwnProcess:
			filled.code[h.At].K = uint32(process)
		case OwnThread:
			filled.code[h.At].K = uint32(thread)
		}
	}
	return filled
}

// String lists the program in words, an instruction a line.
func (p Program) String() string {
	var b strings.Builder
	for i, f := range p.code {
		fmt.Fprintf(&b, "%4d  %s", i, describe(i, f))
		for _, h := range p.holes {
			if h.At == i {
				fmt.Fprintf(&b, "  ; own %s", map[What]string{OwnProcess: "process", OwnThread: "thread"}[h.What])
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func describe(i int, f unix.SockFilter) string {
	switch f.Code {
	case opLoad:
		return "load  " + fieldName(f.K)
	case opAnd:
		return fmt.Sprintf("and   %#x", f.K)
	case opReturn:
		return "ret   " + Action(f.K).String()
	case opJump:
		return fmt.Sprintf("jump  %d", i+1+int(f.K))
	case opEqual, opAtLeast, opAbove:
		sign := map[uint16]string{opEqual: "==", opAtLeast: ">=", opAbove: ">"}[f.Code]
		return fmt.Sprintf("if %s %#x then %d else %d", sign, f.K, i+1+int(f.Jt), i+1+int(f.Jf))
	default:
		return fmt.Sprintf("%#x %d %d %#x", f.Code, f.Jt, f.Jf, f.K)
	}
}

func fieldName(offset uint32) string {
	switch {
	case offset == offNumber:
		return "number"
	case offset == offArch:
		return "arch"
	case offset >= offArgs:
		half := map[uint32]string{0: "low", 4: "high"}[offset%8]
		return fmt.Sprintf("arg%d %s", (offset-offArgs)/8, half)
	default:
		return fmt.Sprintf("offset %d", offset)
	}
}
