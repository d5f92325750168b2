package pydist

import (
	"cmp"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// resolveCustom finds the libpython, standard library and interpreter that
// belong to a libpython, a python executable or a prefix directory.
func resolveCustom(path string) (Dist, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Dist{}, err
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return Dist{}, fmt.Errorf("find python %s: %w", path, err)
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return Dist{}, err
	}
	if info.IsDir() {
		return fromPrefix(resolved, "")
	}
	isProgram, err := hasInterpreter(resolved)
	if err != nil {
		return Dist{}, err
	}
	if isProgram {
		return fromExecutable(resolved)
	}
	return fromLibrary(resolved, "")
}

// hasInterpreter tells a program from a shared library: both are usually of
// type ET_DYN today, but only a program names its dynamic loader.
func hasInterpreter(path string) (bool, error) {
	f, err := elf.Open(path)
	if err != nil {
		return false, fmt.Errorf("%s is neither a directory nor an ELF file (a launcher script? "+
			"python3 -c 'import sys; print(sys.base_prefix)' prints the directory to pass): %w", path, err)
	}
	defer f.Close() //nolint:errcheck // only read
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true, nil
		}
	}
	return f.Type == elf.ET_EXEC, nil
}

func fromExecutable(exe string) (Dist, error) {
	if !strings.HasPrefix(filepath.Base(exe), "python") {
		return Dist{}, fmt.Errorf("%s is a program, but by its name not a python", exe)
	}
	return fromPrefix(filepath.Dir(filepath.Dir(exe)), exe)
}

// fromPrefix looks where builds, distributions and venvs keep their libpython.
func fromPrefix(prefix, exe string) (Dist, error) {
	if base := venvBase(prefix); base != "" {
		prefix, exe = base, ""
	}
	var found []string
	for _, pattern := range []string{"lib", "lib64", "lib/*-linux-gnu"} {
		// The only error is a bad pattern: a prefix with odd characters.
		libs, err := filepath.Glob(filepath.Join(prefix, pattern, "libpython*.so*"))
		if err != nil {
			return Dist{}, fmt.Errorf("search %s: %w", prefix, err)
		}
		found = append(found, libs...)
	}
	lib := bestLibrary(found, filepath.Base(exe))
	if lib == "" {
		return Dist{}, fmt.Errorf("no libpython%d.%d.so under %s/lib: "+
			"a Python built with --enable-shared has one (Debian: package libpython%d.%d)",
			minMajor, minMinor, prefix, minMajor, minMinor)
	}
	return fromLibrary(lib, exe)
}

// venvBase returns the prefix of the Python that a venv was made from, or "".
func venvBase(prefix string) string {
	data, err := os.ReadFile(filepath.Join(prefix, "pyvenv.cfg"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == "home" {
			return filepath.Dir(strings.TrimSpace(value))
		}
	}
	return ""
}

// exeName matches an interpreter's file name that tells its version.
var exeName = regexp.MustCompile(`^python(\d\.\d{1,3}t?)`)

// bestLibrary chooses among several libpythons the one that exe belongs to, else
// the newest, and of one version the regular build before the free-threaded.
func bestLibrary(paths []string, exe string) string {
	type candidate struct {
		path, abi string
		minor     int
	}
	var all []candidate
	for _, p := range paths {
		if m := soname.FindStringSubmatch(filepath.Base(p)); m != nil {
			minor, _ := strconv.Atoi(m[2]) // the pattern admits only digits
			all = append(all, candidate{path: p, abi: m[1] + "." + m[2] + m[3], minor: minor})
		}
	}
	if m := exeName.FindStringSubmatch(exe); m != nil {
		all = slices.DeleteFunc(all, func(c candidate) bool { return c.abi != m[1] })
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.minor, a.minor), cmp.Compare(len(a.abi), len(b.abi)))
	})
	return all[0].path
}

func fromLibrary(path, exe string) (Dist, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Dist{}, fmt.Errorf("find libpython: %w", err)
	}
	lib, err := inspectLibrary(resolved)
	if err != nil {
		return Dist{}, err
	}
	stdlib, err := findStdlib(resolved, lib)
	if err != nil {
		return Dist{}, err
	}
	sum, err := hashFile(resolved)
	if err != nil {
		return Dist{}, err
	}
	home := filepath.Dir(filepath.Dir(stdlib))
	if exe == "" {
		exe = findExecutable(home, lib)
	}
	return Dist{
		Home: home, Lib: resolved, Exe: exe, Stdlib: stdlib, SHA256: sum,
		Version: lib.version, Major: lib.major, Minor: lib.minor, FreeThreaded: lib.freeThreaded,
	}, nil
}

// abiName is the version as it appears in names: 3.14, or 3.14t.
func (l library) abiName() string {
	name := fmt.Sprintf("%d.%d", l.major, l.minor)
	if l.freeThreaded {
		name += "t"
	}
	return name
}

// findStdlib looks beside the library, where it is one level deeper (Debian's
// lib/x86_64-linux-gnu) and where it is in lib64.
func findStdlib(lib string, l library) (string, error) {
	dir, name := filepath.Dir(lib), "python"+l.abiName()
	for _, candidate := range []string{
		filepath.Join(dir, name),
		filepath.Join(dir, "..", name),
		filepath.Join(dir, "..", "lib", name),
	} {
		if _, err := os.Stat(filepath.Join(candidate, "encodings", "__init__.py")); err == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("python %s (%s) has no standard library: expected %s",
		l.version, lib, filepath.Join(dir, name, "encodings"))
}

// findExecutable returns "" when the installation has only the library.
func findExecutable(home string, l library) string {
	exe := filepath.Join(home, "bin", "python"+l.abiName())
	if _, err := os.Stat(exe); err != nil {
		return ""
	}
	return exe
}
