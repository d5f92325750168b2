// Package elfsec reads from an ELF file which compiler and linker hardening it
// carries. It looks at what the file shows and runs nothing; a missing mark may
// also mean that nothing in the file needed it (no canary where no function has
// an array).
package elfsec

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// Report says what one file carries.
type Report struct {
	PIE     bool `json:"pie"`
	RELRO   bool `json:"relro"`
	BindNow bool `json:"bind_now"` // with RELRO: full RELRO
	Canary  bool `json:"stack_protector"`
	Fortify bool `json:"fortify"`
	// IBT and ShadowStack are Intel CET marks of the whole file: one object
	// without them, such as Go's own code, clears them.
	IBT         bool `json:"cet_ibt"`
	ShadowStack bool `json:"cet_shadow_stack"`
	CFI         bool `json:"clang_cfi"`
	NXStack     bool `json:"nx_stack"`
}

// Read reports on the file at path.
func Read(path string) (Report, error) {
	f, err := elf.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("read %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	r := Report{PIE: f.Type == elf.ET_DYN}
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_GNU_RELRO:
			r.RELRO = true
		case elf.PT_GNU_STACK:
			r.NXStack = p.Flags&elf.PF_X == 0
		}
	}
	r.BindNow = bindNow(f)
	r.readSymbols(f)
	r.readProperties(f)
	return r, nil
}

func bindNow(f *elf.File) bool {
	flags, _ := f.DynValue(elf.DT_FLAGS)
	flags1, _ := f.DynValue(elf.DT_FLAGS_1)
	now, _ := f.DynValue(elf.DT_BIND_NOW)
	return len(now) > 0 ||
		(len(flags) > 0 && elf.DynFlag(flags[0])&elf.DF_BIND_NOW != 0) ||
		(len(flags1) > 0 && elf.DynFlag1(flags1[0])&elf.DF_1_NOW != 0)
}

func (r *Report) readSymbols(f *elf.File) {
	dynamic, _ := f.DynamicSymbols() // none is an error there, and nothing to us
	static, _ := f.Symbols()
	for _, s := range append(dynamic, static...) {
		switch {
		case s.Name == "__stack_chk_fail":
			r.Canary = true
		case strings.HasPrefix(s.Name, "__cfi_check"):
			r.CFI = true
		case strings.HasSuffix(s.Name, "_chk") && strings.HasPrefix(s.Name, "__"):
			r.Fortify = true
		}
	}
}

// From the x86-64 psABI: a .note.gnu.property holds (type, size, data) triples.
const (
	propertyX86Feature1 = 0xc0000002
	featureIBT          = 1
	featureShadowStack  = 2
	noteHeader          = 16 // name size, description size, type, "GNU\0"
)

func (r *Report) readProperties(f *elf.File) {
	s := f.Section(".note.gnu.property")
	if s == nil {
		return
	}
	data, err := s.Data()
	if err != nil || len(data) < noteHeader {
		return
	}
	for data = data[noteHeader:]; len(data) >= 12; {
		kind, size := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])
		if size > uint32(len(data)-8) {
			return
		}
		if kind == propertyX86Feature1 && size == 4 {
			bits := binary.LittleEndian.Uint32(data[8:])
			r.IBT, r.ShadowStack = bits&featureIBT != 0, bits&featureShadowStack != 0
		}
		next := 8 + (int(size)+7)&^7
		if next > len(data) {
			return
		}
		data = data[next:]
	}
}
