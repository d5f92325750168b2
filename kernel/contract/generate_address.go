package contract

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

const addressAt = int16(unsafe.Offsetof(Event{}.Address))

// addresses goes to yes if the peer's address has one of the prefixes, to no or on if it
// has not.
func (g *generator) addresses(prefixes []netip.Prefix, yes, no label) {
	var v4, v6 []netip.Prefix
	for _, p := range prefixes {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	g.emit(asm.LoadMem(asm.R5, regEvent, int16(familyAt), asm.Half))
	g.family(unix.AF_INET, v4, yes, no, len(v6) > 0, func() {
		g.emit(asm.LoadMem(asm.R3, regEvent, addressAt+12, asm.Word))
		for _, p := range v4 {
			g.prefix4(p, yes)
		}
	})
	g.family(unix.AF_INET6, v6, yes, no, false, func() {
		for _, p := range v6 {
			g.prefix6(p, yes)
		}
	})
}

// family does what is for addresses of one family, whose number R5 has. No instruction may
// be one that nothing leads to, hence the care about a prefix that is all addresses.
func (g *generator) family(number int32, prefixes []netip.Prefix, yes, no label, more bool, compare func()) {
	switch other := g.label(); {
	case len(prefixes) == 0:
	case prefixes[0].Bits() == 0: // then it is the only one
		g.jump(asm.JEq.Imm(asm.R5, number, ""), yes)
	default:
		g.jump(asm.JNE.Imm(asm.R5, number, ""), other)
		compare()
		if more {
			g.jump(asm.Ja.Label(""), no)
		}
		g.here(other)
	}
}

// prefix4 goes to yes if R3, an address as it is in memory, has the prefix.
func (g *generator) prefix4(p netip.Prefix, yes label) {
	address := p.Addr().As4()
	value := int32(binary.NativeEndian.Uint32(address[:]))
	if p.IsSingleIP() {
		g.jump(asm.JEq.Imm32(asm.R3, value, ""), yes)
		return
	}
	mask := leading(p.Bits())
	g.emit(asm.Mov.Reg(asm.R4, asm.R3), asm.And.Imm32(asm.R4, int32(binary.NativeEndian.Uint32(mask[:4]))))
	g.jump(asm.JEq.Imm32(asm.R4, value, ""), yes)
}

// prefix6 goes to yes if the event's address has the prefix.
func (g *generator) prefix6(p netip.Prefix, yes label) {
	not := g.label()
	address, mask := p.Addr().As16(), leading(p.Bits())
	for half := 0; half < 16 && mask[half] != 0; half += 8 {
		value := binary.NativeEndian.Uint64(address[half:])
		under := binary.NativeEndian.Uint64(mask[half:])
		g.emit(asm.LoadMem(asm.R3, regEvent, addressAt+int16(half), asm.DWord))
		if ^under != 0 {
			g.emit(asm.LoadImm(asm.R4, int64(under), asm.DWord), asm.And.Reg(asm.R3, asm.R4))
		}
		g.number(asm.JNE, asm.R3, value, not)
	}
	g.jump(asm.Ja.Label(""), yes)
	g.here(not)
}

// leading is a mask of the first bits of an address.
func leading(bits int) (mask [16]byte) {
	for i := range bits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return mask
}

// native is up to eight bytes as the machine loads them.
func native(b []byte) uint64 {
	switch len(b) {
	case 8:
		return binary.NativeEndian.Uint64(b)
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 2:
		return uint64(binary.NativeEndian.Uint16(b))
	default:
		return uint64(b[0])
	}
}
