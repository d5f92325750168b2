package pydist

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The embedded Python, named as a custom one in each way.
func TestCustomPython(t *testing.T) {
	d := embeddedDist(t)
	want := d
	want.Embedded = false

	venv := t.TempDir()
	write(t, filepath.Join(venv, "pyvenv.cfg"), "version = 3.14.6\nhome = "+filepath.Join(d.Home, "bin")+"\n")

	for name, path := range map[string]string{
		"library":      d.Lib,
		"library link": filepath.Join(d.Home, "lib/libpython3.14.so"),
		"executable":   d.Exe,
		"exe link":     filepath.Join(d.Home, "bin/python3"),
		"prefix":       d.Home,
		"venv":         venv,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(t.Context(), Options{Python: path})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("environment", func(t *testing.T) {
		t.Setenv(PythonEnv, d.Home)
		if got, err := Resolve(t.Context(), Options{}); err != nil || got.Embedded {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// Where distributions keep a library and its standard library.
func TestCustomLayouts(t *testing.T) {
	d := embeddedDist(t)
	for name, lay := range map[string]struct{ lib, stdlib string }{
		"debian": {"lib/x86_64-linux-gnu/libpython3.14.so.1.0", "lib/python3.14"},
		"fedora": {"lib64/libpython3.14.so.1.0", "lib64/python3.14"},
		"split":  {"lib64/libpython3.14.so.1.0", "lib/python3.14"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := t.TempDir()
			lib := filepath.Join(prefix, lay.lib)
			copyFile(t, d.Lib, lib)
			write(t, filepath.Join(prefix, lay.stdlib, "encodings/__init__.py"), "")
			got, err := Resolve(t.Context(), Options{Python: prefix})
			if err != nil {
				t.Fatal(err)
			}
			want := Dist{Home: prefix, Lib: lib, Version: d.Version, Major: 3, Minor: 14,
				Stdlib: filepath.Join(prefix, lay.stdlib), SHA256: d.SHA256}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnsuitablePython(t *testing.T) {
	d := embeddedDist(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	library, err := os.ReadFile(d.Lib)
	if err != nil {
		t.Fatal(err)
	}

	write(t, at("text/libpython3.14.so"), "not a library")
	write(t, at("shim/python3"), "#!/bin/sh\nexec pyenv\n")
	write(t, at("arch/libpython3.14.so"), string(otherMachine(library)))
	write(t, at("old/libpython3.14.so"), string(withVersion(t, library, 0x030C07F0)))
	write(t, at("bare/libpython3.14.so"), string(bytes.ReplaceAll(library,
		[]byte("\x00PyInitConfig_Create\x00"), []byte("\x00PyInitConfig_Xreate\x00"))))
	write(t, at("threads/libpython3.14t.so"), string(bytes.ReplaceAll(library,
		[]byte("\x00PyCodec_IncrementalDecoder\x00"), []byte("\x00_Py_MergeZeroLocalRefcount\x00"))))
	write(t, at("empty/bin/python3.14"), "")
	copyFile(t, d.Lib, at("nostd/lib/libpython3.14.so.1.0"))

	for name, c := range map[string]struct{ path, want string }{
		"missing":       {at("nothing"), "no such file"},
		"not ELF":       {at("text/libpython3.14.so"), "neither a directory nor an ELF file"},
		"script":        {at("shim/python3"), "launcher script?"},
		"other machine": {at("arch/libpython3.14.so"), "built for ELFCLASS64 EM_S390"},
		"too old": {at("old/libpython3.14.so"), "python 3.12.7 is too old: cells need 3.14 or later; " +
			"pass another --python PATH or leave it out to use the embedded 3.14.6"},
		"no PEP 741":      {at("bare/libpython3.14.so"), "does not export PyInitConfig_Create"},
		"free-threaded":   {at("threads/libpython3.14t.so"), "is a free-threaded build"},
		"no library":      {at("empty"), "no libpython3.14.so under"},
		"no stdlib":       {at("nostd/lib/libpython3.14.so.1.0"), "has no standard library: expected"},
		"not a libpython": {filepath.Join(d.Home, "lib/python3.14/lib-dynload"), "no libpython3.14.so under"},
		"another program": {"/bin/true", "not a python"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Resolve(t.Context(), Options{Python: c.path})
			if !errors.Is(err, ErrUnsuitable) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	_, err = Resolve(t.Context(), Options{Python: at("nothing")})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v hides that the file does not exist", err)
	}
}

func TestBestLibrary(t *testing.T) {
	all := []string{
		"/p/lib/libpython3.so", "/p/lib/libpython3.12.so.1.0", "/p/lib/libpython3.14t.so.1.0",
		"/p/lib/libpython3.14.so.1.0", "/p/lib/libpython3.9.so",
	}
	for name, c := range map[string]struct {
		paths     []string
		exe, want string
	}{
		"newest, regular build first": {all, "", "/p/lib/libpython3.14.so.1.0"},
		"of the executable":           {all, "python3.12", "/p/lib/libpython3.12.so.1.0"},
		"free-threaded":               {all, "python3.14t", "/p/lib/libpython3.14t.so.1.0"},
		"executable without version":  {all, "python3", "/p/lib/libpython3.14.so.1.0"},
		"not there":                   {all, "python3.15", ""},
		"nine is less than fourteen":  {[]string{"libpython3.14.so", "libpython3.9.so"}, "", "libpython3.14.so"},
		"only the stable ABI":         {all[:1], "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bestLibrary(c.paths, c.exe); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseHexVersion(t *testing.T) {
	for hex, want := range map[uint32]string{
		0x030E06F0: "3.14.6", 0x030F00A1: "3.15.0a1", 0x030E00C3: "3.14.0rc3", 0x030C07F0: "3.12.7",
	} {
		if _, _, got := parseHexVersion(hex); got != want {
			t.Errorf("%#x: got %s, want %s", hex, got, want)
		}
	}
}

// FuzzReadLibrary feeds damaged ELF files to the reader: it may refuse them, and
// must not panic.
func FuzzReadLibrary(f *testing.F) {
	header := make([]byte, 4096)
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		f.Fatal(err)
	}
	defer exe.Close() //nolint:errcheck // only read
	if _, err := exe.ReadAt(header, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(header)
	f.Add(otherMachine(header))
	f.Add([]byte(elf.ELFMAG))
	f.Fuzz(func(t *testing.T, data []byte) {
		if lib, err := readLibrary(bytes.NewReader(data)); err == nil && lib.version == "" {
			t.Error("accepted a library without a version")
		}
	})
}

func otherMachine(library []byte) []byte {
	const machineAt = 18 // e_machine in Elf64_Ehdr
	out := bytes.Clone(library)
	binary.LittleEndian.PutUint16(out[machineAt:], uint16(elf.EM_S390))
	return out
}

// withVersion returns the library with another value of Py_Version.
func withVersion(t *testing.T, library []byte, hex uint32) []byte {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(library))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(library)
	for _, s := range symbols {
		if s.Name != "Py_Version" {
			continue
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				binary.LittleEndian.PutUint32(out[p.Off+s.Value-p.Vaddr:], hex)
				return out
			}
		}
	}
	t.Fatal("no Py_Version in the library")
	return nil
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyFile copies: a symbolic link would be resolved, a hard link shares its stamp.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
