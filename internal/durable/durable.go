// Package durable writes files that are there whole, or not at all, after a crash.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pyisolate/pyisolate/internal/failpoint"
)

var (
	syncedPoint  = failpoint.New("durable.synced")
	renamedPoint = failpoint.New("durable.renamed")
	keptPoint    = failpoint.New("durable.kept")
)

// WriteFile replaces a file. When it returns without error the new content is on the disk.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	f, err := Create(filepath.Dir(path), mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Keep(path)
}

// File is one that has no name yet.
type File struct{ *os.File }

// Pattern of the names of files that have no name yet. Those of a process that died may be
// removed by whoever has the directory.
const Pattern = ".new-*"

// Create begins a file in a directory.
func Create(dir string, mode fs.FileMode) (*File, error) {
	f, err := os.CreateTemp(dir, Pattern)
	if err != nil {
		var failed *fs.PathError
		if errors.As(err, &failed) {
			failed.Path = dir // the name says nothing to anybody
		}
		return nil, err
	}
	if err := f.Chmod(mode); err != nil {
		return nil, errors.Join(err, (&File{f}).Discard())
	}
	return &File{f}, nil
}

// Keep puts it on the disk under a name in its directory. Where it fails the file may have the name all the same, and lose
// it again by a crash: its directory could not be put on the disk.
func (f *File) Keep(path string) error {
	err := f.Sync()
	syncedPoint.Hit()
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	renamedPoint.Hit()
	err = SyncDir(filepath.Dir(path))
	keptPoint.Hit()
	return err
}

// KeepNew is Keep for a name that is free; where it is not, it fails with fs.ErrExist, and replaces nothing.
func (f *File) KeepNew(path string) error {
	err := errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Discard removes it.
func (f *File) Discard() error { return errors.Join(f.Close(), os.Remove(f.Name())) }

// SyncDir puts the names of a directory on the disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
