package seccomp

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// Operations of classic BPF that the programs use.
const (
	opLoad    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd     = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opEqual   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opAtLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opAbove   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opJump    = unix.BPF_JMP | unix.BPF_JA
	opReturn  = unix.BPF_RET | unix.BPF_K
)

// Offsets into struct seccomp_data; the lower half of an argument comes first.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
	dataSize  = 64
)

// maxProgram is BPF_MAXINSNS.
const maxProgram = 4096

// part is a piece of a program that ends in returns: nothing falls out of it. Holes
// count from its own beginning.
type part struct {
	code  []unix.SockFilter
	holes []Hole
}

func (p *part) add(f ...unix.SockFilter) { p.code = append(p.code, f...) }

func (p *part) join(q part) {
	for _, h := range q.holes {
		p.holes = append(p.holes, Hole{len(p.code) + h.At, h.What})
	}
	p.code = append(p.code, q.code...)
}

func load(offset uint32) unix.SockFilter { return unix.SockFilter{Code: opLoad, K: offset} }
func answer(a Action) unix.SockFilter    { return unix.SockFilter{Code: opReturn, K: uint32(a)} }

func branch(op uint16, k uint32, yes, no int) (unix.SockFilter, error) {
	if yes > 255 || no > 255 {
		return unix.SockFilter{}, fmt.Errorf("seccomp: a condition is too long (%d, %d)", yes, no)
	}
	return unix.SockFilter{Code: op, Jt: uint8(yes), Jf: uint8(no), K: k}, nil
}

// segment is a run of numbers, up to the next segment's first, with one decision.
type segment struct {
	first    uint32
	decision decision
}

// segments covers all numbers: what is not in of is refused, what is beyond last is missing.
func segments(of map[int]decision, last int) []segment {
	list := []segment{{0, decision{action: Refused}}}
	add := func(first int, d decision) {
		end := &list[len(list)-1]
		switch {
		case d.clauses == nil && end.decision.clauses == nil && end.decision.action == d.action:
		case int(end.first) == first:
			end.decision = d
		default:
			list = append(list, segment{uint32(first), d})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(of)) {
		add(n, of[n])
		if _, next := of[n+1]; !next {
			add(n+1, decision{action: Refused})
		}
	}
	add(last+1, decision{action: Missing})
	return list
}

// assemble makes the whole program: is it this architecture's, then a binary search
// for the number, then its decision.
func assemble(a Arch, of map[int]decision) (Program, error) {
	tree, err := search(segments(of, a.last()))
	if err != nil {
		return Program{}, err
	}
	p := part{code: []unix.SockFilter{
		load(offArch),
		{Code: opEqual, K: a.audit(), Jt: 1},
		answer(KillProcess),
		load(offNumber),
	}}
	if a == AMD64 {
		p.add(unix.SockFilter{Code: opAtLeast, K: x32Bit, Jf: 1}, answer(KillProcess))
	}
	p.join(tree)
	if len(p.code) > maxProgram {
		return Program{}, fmt.Errorf("seccomp: the program has %d instructions; %d are allowed", len(p.code), maxProgram)
	}
	return Program(p), nil
}

func search(list []segment) (part, error) {
	if len(list) == 1 {
		return decide(list[0].decision)
	}
	middle := len(list) / 2
	below, err := search(list[:middle])
	if err != nil {
		return part{}, err
	}
	above, err := search(list[middle:])
	if err != nil {
		return part{}, err
	}
	var p part
	k := list[middle].first
	if far := len(below.code); far <= 255 {
		p.add(unix.SockFilter{Code: opAtLeast, K: k, Jt: uint8(far)})
	} else { // only an unconditional jump reaches that far
		p.add(unix.SockFilter{Code: opAtLeast, K: k, Jf: 1}, unix.SockFilter{Code: opJump, K: uint32(far)})
	}
	p.join(below)
	p.join(above)
	return p, nil
}

// decide gives the answer of one decision.
func decide(d decision) (part, error) {
	var p part
	for _, c := range d.clauses {
		q, err := c.assemble()
		if err != nil {
			return part{}, err
		}
		p.join(q)
	}
	p.add(answer(d.action))
	return p, nil
}

// assemble allows when all tests hold, and else goes on behind itself.
func (c clause) assemble() (part, error) {
	rest := part{code: []unix.SockFilter{answer(Allow)}}
	for _, t := range slices.Backward(c) {
		q, err := t.assemble(len(rest.code))
		if err != nil {
			return part{}, err
		}
		q.join(rest)
		rest = q
	}
	return rest, nil
}

// assemble goes on behind itself when the test holds, and else skips the rest of the
// clause.
func (t test) assemble(rest int) (part, error) {
	offset := uint32(offArgs + 8*t.arg)
	if t.high {
		offset += 4
	}
	p := part{code: []unix.SockFilter{load(offset)}}
	if t.mask != ^uint32(0) {
		p.add(unix.SockFilter{Code: opAnd, K: t.mask})
	}
	values := t.in
	if t.own != 0 {
		values = []uint32{nobody}
		p.holes = append(p.holes, Hole{len(p.code), t.own})
	}
	for i, v := range values {
		skip := 0
		if i == len(values)-1 {
			skip = rest
		}
		f, err := branch(opEqual, v, len(values)-1-i, skip)
		if err != nil {
			return part{}, err
		}
		p.add(f)
	}
	return p, nil
}
