package vmtest

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// libraryDirs are where a dynamic loader looks without being told; it finds there, in the
// machine, what Program has found here.
var libraryDirs = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
}

// Program adds a copy of a program of this machine, and what it cannot be started without:
// its dynamic loader and the shared libraries that it names, and these name, where they are
// here.
func (a *Archive) Program(name, source string) error {
	if err := a.File(name, source); err != nil {
		return err
	}
	return a.Libraries(source)
}

// Libraries adds what a program or shared library of this machine needs to be loaded, once.
func (a *Archive) Libraries(source string) error {
	needs, err := needed(source)
	if err != nil {
		return fmt.Errorf("vmtest: read what %s needs: %w", source, err)
	}
	for _, path := range needs {
		if a.libraries[path] {
			continue
		}
		if a.libraries == nil {
			a.libraries = map[string]bool{}
		}
		a.libraries[path] = true
		if err := a.File(path, path); err != nil {
			return err
		}
		if err := a.Libraries(path); err != nil {
			return err
		}
	}
	return nil
}

// needed lists the files that a file names. What is no ELF file, and what names nothing,
// needs nothing.
func needed(source string) (paths []string, err error) {
	f, err := elf.Open(source)
	if errors.As(err, new(*elf.FormatError)) || errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text, err := io.ReadAll(p.Open())
			if err != nil {
				return nil, err
			}
			paths = append(paths, strings.TrimRight(string(text), "\x00"))
		}
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		path, err := library(name)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func library(name string) (string, error) {
	for _, dir := range libraryDirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("library %s is not in %s", name, strings.Join(libraryDirs, ", "))
}
