package vmtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// An Archive is an initial file system in the format that the kernel unpacks: cpio,
// "newc". It is written in memory.
type Archive struct {
	b     bytes.Buffer
	inode int
	dirs  map[string]bool
	// libraries are those that were added, by path.
	libraries map[string]bool
}

// Modes of files in the archive, as in stat(2).
const (
	modeDir    = 0o040755
	modeFile   = 0o100644
	modeExec   = 0o100755
	modeDevice = 0o020600
	modeLink   = 0o120777
)

func (a *Archive) entry(name string, mode, major, minor int, data []byte) {
	a.inode++
	name = strings.TrimPrefix(name, "/")
	fmt.Fprintf(&a.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
	a.pad()
	a.b.Write(data)
	a.pad()
}

func (a *Archive) pad() {
	for a.b.Len()%4 != 0 {
		a.b.WriteByte(0)
	}
}

// Dir adds a directory and all above it.
func (a *Archive) Dir(name string) {
	if name == "/" || name == "." || a.dirs[name] {
		return
	}
	a.Dir(path.Dir(name))
	if a.dirs == nil {
		a.dirs = map[string]bool{}
	}
	a.dirs[name] = true
	a.entry(name, modeDir, 0, 0, nil)
}

// Device adds a character device.
func (a *Archive) Device(name string, major, minor int) {
	a.Dir(path.Dir(name))
	a.entry(name, modeDevice, major, minor, nil)
}

// Data adds a file.
func (a *Archive) Data(name string, data []byte, executable bool) {
	a.Dir(path.Dir(name))
	mode := modeFile
	if executable {
		mode = modeExec
	}
	a.entry(name, mode, 0, 0, data)
}

// File adds a copy of a file of this machine, executable.
func (a *Archive) File(name, source string) error {
	data, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("vmtest: add a file: %w", err)
	}
	a.Data(name, data, true)
	return nil
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.Dir(path.Dir(name))
	a.entry(name, modeLink, 0, 0, []byte(target))
}

// Tree adds a copy of a directory, where there is one: its files and symbolic links.
func (a *Archive) Tree(name, source string) error {
	if _, err := os.Stat(source); os.IsNotExist(err) {
		return nil
	}
	return filepath.WalkDir(source, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside, err := filepath.Rel(source, p)
		if err != nil {
			return err
		}
		return a.copyOf(path.Join(name, filepath.ToSlash(inside)), p, d)
	})
}

func (a *Archive) copyOf(name, source string, d fs.DirEntry) error {
	if d.Type()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(source)
		if err == nil {
			a.Link(name, target)
		}
		return err
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(source)
	if err == nil {
		a.Data(name, data, info.Mode()&0o111 != 0)
	}
	return err
}

// Bytes ends the archive and returns it.
func (a *Archive) Bytes() []byte {
	a.entry("TRAILER!!!", 0, 0, 0, nil)
	return a.b.Bytes()
}
