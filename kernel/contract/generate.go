package contract

import (
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Registers that keep what they have throughout a program. The others are scratch.
const (
	regContext = asm.R6
	regEvent   = asm.R7
)

const (
	hookAt   = int16(unsafe.Offsetof(Event{}.Hook))
	lineAt   = int16(unsafe.Offsetof(Event{}.Line))
	columnAt = int16(unsafe.Offsetof(Event{}.Column))
	// skb->cb[0], whose offset in struct __sk_buff is part of the kernel's interface.
	controlAt = 48
)

// compile makes the program of a hook:
//
//	find the event, or refuse
//	refuse if it is another hook's or has not what this hook's have
//	each assertion: go on if it holds, else note its place and refuse
//	permit
func (c *Contract) compile(h Hook, t Target) (*program, error) {
	if err := t.validate(); err != nil {
		return nil, err
	}
	permit, _, err := t.verdict()
	if err != nil {
		return nil, err
	}
	g := &generator{}
	g.refuse, g.stale = g.label(), g.label()
	g.find(t)
	g.expect(h, h == Open && c.readsPath())
	for _, a := range c.assertions {
		if !a.hooks.concern(h) {
			continue
		}
		g.assertion(a, a.hooks.onlyWithPeer(h))
	}
	g.place = Position{}
	g.emit(asm.Mov.Imm(asm.R0, permit), asm.Return())
	g.refusals(t)
	return g.finish(), nil
}

type generator struct {
	assembler
	refuse, stale label
	failed        []failure
}

// cost is what an assertion takes of a program.
type cost struct{ instructions, branches int }

// cost is of the program of a hook where it takes most. It is known before there is a target, so
// that a contract which cannot be loaded anywhere is no contract.
func (a assertion) cost() cost {
	g := &generator{}
	g.assertion(a, true)
	of := cost{instructions: g.size}
	for at := range g.jumps {
		if g.code[at].OpCode.JumpOp() != asm.Ja {
			of.branches++
		}
	}
	return of
}

// failure is the label of an assertion that does not hold.
type failure struct {
	label label
	at    Position
}

// find leaves the event in regEvent.
func (g *generator) find(t Target) {
	g.emit(asm.Mov.Reg(regContext, asm.R1))
	if t.Events.Type() == ebpf.TaskStorage {
		g.emit(
			asm.FnGetCurrentTaskBtf.Call(),
			asm.LoadMapPtr(asm.R1, t.Events.FD()),
			asm.Mov.Reg(asm.R2, asm.R0),
			asm.Mov.Imm(asm.R3, 0),
			asm.Mov.Imm(asm.R4, 0),
			asm.FnTaskStorageGet.Call(),
		)
	} else {
		g.emit(
			asm.LoadMem(asm.R3, regContext, controlAt, asm.Word),
			asm.StoreMem(asm.RFP, -4, asm.R3, asm.Word),
			asm.LoadMapPtr(asm.R1, t.Events.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
		)
	}
	g.jump(asm.JEq.Imm(asm.R0, 0, ""), g.refuse)
	g.emit(asm.Mov.Reg(regEvent, asm.R0))
}

// expect refuses events that are not what the hook must hand over.
func (g *generator) expect(h Hook, path bool) {
	g.emit(asm.LoadMem(asm.R3, regEvent, hookAt, asm.Word))
	g.jump(asm.JNE.Imm(asm.R3, int32(h), ""), g.stale)
	if h == Connect {
		g.emit(asm.LoadMem(asm.R3, regEvent, int16(familyAt), asm.Half))
		g.jump(asm.JEq.Imm(asm.R3, 0, ""), g.stale)
	}
	if path {
		g.emit(asm.LoadMem(asm.R3, regEvent, int16(pathAt), asm.Byte))
		g.jump(asm.JNE.Imm(asm.R3, '/', ""), g.stale)
	}
}

func (g *generator) assertion(a assertion, onlyWithPeer bool) {
	g.place = a.at
	yes, no := g.label(), g.label()
	if onlyWithPeer {
		g.emit(asm.LoadMem(asm.R3, regEvent, int16(familyAt), asm.Half))
		g.jump(asm.JEq.Imm(asm.R3, 0, ""), yes)
	}
	g.condition(a.condition, yes, no, yes)
	g.here(yes)
	g.failed = append(g.failed, failure{no, a.at})
}

// refusals are where assertions go that do not hold.
func (g *generator) refusals(t Target) {
	for _, f := range append(g.failed, failure{label: g.stale}) {
		g.place = f.at
		g.here(f.label)
		g.emit(
			asm.StoreImm(regEvent, lineAt, int64(f.at.Line), asm.Word),
			asm.StoreImm(regEvent, columnAt, int64(f.at.Column), asm.Word),
		)
		g.jump(asm.Ja.Label(""), g.refuse)
	}
	g.place = Position{}
	g.here(g.refuse)
	if t.Refusals != nil {
		g.emit(
			asm.Mov.Reg(asm.R1, regContext),
			asm.LoadMapPtr(asm.R2, t.Refusals.FD()),
			asm.Mov.Imm(asm.R3, int32(t.RefusalIndex)),
			asm.FnTailCall.Call(),
		)
	}
	_, refuse, _ := t.verdict() // compile has looked at it
	g.emit(asm.Mov.Imm(asm.R0, refuse), asm.Return())
}

// condition goes to yes if c holds and to no if it does not. One of them is next, which
// comes right after.
func (g *generator) condition(c condition, yes, no, next label) {
	switch c := c.(type) {
	case *inverse:
		g.condition(c.of, no, yes, next)
	case *several:
		last := len(c.terms) - 1
		for _, term := range c.terms[:last] {
			more := g.label()
			if c.or {
				g.condition(term, yes, more, more)
			} else {
				g.condition(term, more, no, more)
			}
			g.here(more)
		}
		g.condition(c.terms[last], yes, no, next)
	case *test:
		g.place = c.at
		g.test(c, yes, no, next)
	}
}

func (g *generator) test(t *test, yes, no, next label) {
	switch at := int16(t.field.offset); t.field.kind {
	case kindFlag:
		g.emit(asm.LoadMem(asm.R3, regEvent, at, t.field.size))
		g.jump(asm.JSet.Imm(asm.R3, int32(t.field.mask), ""), yes)
	case kindAddress:
		g.addresses(t.prefixes, yes, no)
	case kindPath:
		for _, p := range t.paths {
			g.path(p, t.under, yes)
		}
	default:
		g.emit(asm.LoadMem(asm.R3, regEvent, at, t.field.size))
		for _, s := range t.spans {
			g.span(s, t.field.kind.last(), yes)
		}
	}
	g.goTo(no, next)
}

// span goes to yes if R3 is in it.
func (g *generator) span(s span, last uint64, yes label) {
	switch {
	case s.first == s.last:
		g.number(asm.JEq, asm.R3, s.first, yes)
	case s.first == 0:
		g.number(asm.JLE, asm.R3, s.last, yes)
	case s.last == last:
		g.number(asm.JGE, asm.R3, s.first, yes)
	default:
		below := g.label()
		g.number(asm.JLT, asm.R3, s.first, below)
		g.number(asm.JLE, asm.R3, s.last, yes)
		g.here(below)
	}
}

// path goes to yes if the event's path is p, or is below it.
func (g *generator) path(p string, under bool, yes label) {
	not := g.label()
	at := int16(pathAt)
	text := []byte(p)
	if !under {
		text = append(text, 0)
	}
	for len(text) > 0 {
		at += g.piece(&text, at, not)
	}
	if !under {
		g.jump(asm.Ja.Label(""), yes)
	} else {
		g.emit(asm.LoadMem(asm.R3, regEvent, at, asm.Byte))
		g.jump(asm.JEq.Imm(asm.R3, 0, ""), yes)
		g.jump(asm.JEq.Imm(asm.R3, '/', ""), yes)
	}
	g.here(not)
}

// piece compares as much of text as one load gives, takes it off, and returns its length.
// Loads are aligned: the path is at a multiple of eight, and lengths only fall.
func (g *generator) piece(text *[]byte, at int16, not label) int16 {
	size := asm.Byte
	for _, s := range []asm.Size{asm.DWord, asm.Word, asm.Half} {
		if len(*text) >= s.Sizeof() {
			size = s
			break
		}
	}
	n := size.Sizeof()
	value := native((*text)[:n])
	*text = (*text)[n:]
	g.emit(asm.LoadMem(asm.R3, regEvent, at, size))
	if size == asm.Word {
		g.jump(asm.JNE.Imm32(asm.R3, int32(value), ""), not)
	} else {
		g.number(asm.JNE, asm.R3, value, not)
	}
	return int16(n)
}
