package pydist

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strconv"
)

// The oldest Python that cells can run.
const (
	minMajor = 3
	minMinor = 14
)

// required is what the C shim looks up in libpython and that not every build of
// a recent enough Python has.
var required = []string{
	"PyInitConfig_Create",
	"Py_NewInterpreterFromConfig",
	"PyUnstable_ThreadState_SetStackProtection",
}

// machines maps GOARCH to what the ELF header of a loadable library says.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// library is what the ELF file of a libpython tells about itself.
type library struct {
	version      string
	major, minor int
	freeThreaded bool
}

// inspectLibrary judges a libpython by reading it. Loading it would run its
// constructors in this process, so nothing is loaded.
func inspectLibrary(path string) (library, error) {
	f, err := os.Open(path)
	if err != nil {
		return library{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	lib, err := readLibrary(f)
	if err != nil {
		return library{}, fmt.Errorf("%s: %w", path, err)
	}
	return lib, nil
}

func readLibrary(r io.ReaderAt) (library, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return library{}, fmt.Errorf("not an ELF file: %w", err)
	}
	if want := machines[runtime.GOARCH]; f.Machine != want || f.Class != elf.ELFCLASS64 {
		return library{}, fmt.Errorf("built for %s %s, this machine needs %s %s",
			f.Class, f.Machine, elf.ELFCLASS64, want)
	}
	if f.Type != elf.ET_DYN {
		return library{}, fmt.Errorf("an ELF file of type %s, not a shared library", f.Type)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return library{}, fmt.Errorf("not a libpython: read its dynamic symbols: %w", err)
	}
	exported := make(map[string]elf.Symbol, len(symbols))
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			exported[s.Name] = s
		}
	}
	lib, err := identify(f, exported)
	if err != nil {
		return library{}, err
	}
	return lib, lib.check(exported)
}

// check says whether cells can run on the library.
func (l library) check(exported map[string]elf.Symbol) error {
	if l.major < minMajor || (l.major == minMajor && l.minor < minMinor) {
		return fmt.Errorf("python %s is too old: cells need %d.%d or later", l.version, minMajor, minMinor)
	}
	if l.freeThreaded {
		return fmt.Errorf("python %s is a free-threaded build: cells need the GIL to keep a guest's threads apart, "+
			"and an allocator whose memory they can count; take the regular build of it", l.version)
	}
	for _, name := range required {
		if _, ok := exported[name]; !ok {
			return fmt.Errorf("python %s does not export %s, which cells need (a newer release of %d.%d may)",
				l.version, name, l.major, l.minor)
		}
	}
	return nil
}

// soname matches the name a libpython gives itself, such as
// libpython3.14t.so.1.0: version, free threading, debug.
var soname = regexp.MustCompile(`^libpython(\d)\.(\d{1,3})(t?)(d?)\.so`)

// identify reads the version from the constant Py_Version, or from the SONAME,
// which knows only major and minor, when there is no such constant.
func identify(f *elf.File, exported map[string]elf.Symbol) (library, error) {
	lib := library{}
	if names, err := f.DynString(elf.DT_SONAME); err == nil && len(names) > 0 {
		if m := soname.FindStringSubmatch(names[0]); m != nil {
			lib.major, _ = strconv.Atoi(m[1])
			lib.minor, _ = strconv.Atoi(m[2])
			lib.version = m[1] + "." + m[2]
			lib.freeThreaded = m[3] == "t"
		}
	}
	// Only free-threaded builds merge reference counts.
	if _, ok := exported["_Py_MergeZeroLocalRefcount"]; ok {
		lib.freeThreaded = true
	}
	if s, ok := exported["Py_Version"]; ok {
		hex, err := readUint32(f, s.Value)
		if err != nil {
			return library{}, fmt.Errorf("read Py_Version: %w", err)
		}
		lib.major, lib.minor, lib.version = parseHexVersion(hex)
	}
	if lib.version == "" {
		return library{}, errors.New("not a libpython: no Py_Version and no libpython name in it")
	}
	return lib, nil
}

// parseHexVersion decodes PY_VERSION_HEX: 0x030E06F0 is 3.14.6.
func parseHexVersion(hex uint32) (major, minor int, version string) {
	major, minor = int(hex>>24), int(hex>>16&0xff)
	version = fmt.Sprintf("%d.%d.%d", major, minor, hex>>8&0xff)
	if level, ok := map[uint32]string{0xA: "a", 0xB: "b", 0xC: "rc"}[hex>>4&0xf]; ok {
		version += fmt.Sprintf("%s%d", level, hex&0xf)
	}
	return major, minor, version
}

// readUint32 reads the initial value of a variable at a virtual address.
func readUint32(f *elf.File, addr uint64) (uint32, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || addr < p.Vaddr || addr-p.Vaddr > p.Filesz || p.Filesz-(addr-p.Vaddr) < 4 {
			continue
		}
		var b [4]byte
		if _, err := p.ReadAt(b[:], int64(addr-p.Vaddr)); err != nil {
			return 0, err
		}
		return binary.LittleEndian.Uint32(b[:]), nil
	}
	return 0, fmt.Errorf("address %#x is not in the file", addr)
}
