package raftlog

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/policystore/internal/boltfile"
	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

const (
	snapshotSuffix   = ".snapshot"
	unfinishedSuffix = ".unfinished"
	footerSize       = 4 // the sealed description's length
)

var snapshotBucket = []byte("snapshot") // for the seal

// Snapshots keeps Raft's snapshots, each in one file: its content, a sealed description,
// and the length of that in four bytes. A file appears under its name when it is complete
// and on the disk.
type Snapshots struct {
	dir  string
	keep int
}

var _ raft.SnapshotStore = (*Snapshots)(nil)

// OpenSnapshots opens or makes a directory of snapshots, removes what was not finished, and
// reads all others: what is wrong with one is a [*Damage]. The newest keep, at least 1, are
// kept when there is a new one.
func OpenSnapshots(dir string, keep int) (*Snapshots, error) {
	s := &Snapshots{dir, max(keep, 1)}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("snapshots in %s: %w", dir, err)
	}
	return s, nil
}

func (s *Snapshots) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	unfinished, err := filepath.Glob(filepath.Join(s.dir, "*"+unfinishedSuffix))
	if err != nil {
		return err
	}
	for _, path := range unfinished {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	ids, err := s.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, content, err := s.Open(id)
		if err != nil {
			return err
		}
		if err := content.Close(); err != nil {
			return err
		}
	}
	return boltfile.SyncDir(filepath.Dir(s.dir))
}

// ids lists the snapshots, newest first.
func (s *Snapshots) ids() (ids []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Backward(entries) {
		if id, ok := strings.CutSuffix(e.Name(), snapshotSuffix); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (s *Snapshots) path(id string) string { return filepath.Join(s.dir, id+snapshotSuffix) }

// List returns the snapshots, newest first.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var list []*raft.SnapshotMeta
	for _, id := range ids {
		d, err := s.describe(id)
		if err != nil {
			return nil, err
		}
		list = append(list, &d.meta)
	}
	return list, nil
}

func (s *Snapshots) describe(id string) (description, error) {
	f, err := os.Open(s.path(id))
	if err != nil {
		return description{}, err
	}
	defer func() { _ = f.Close() }() // only read
	return s.description(f, id)
}

// description reads what is behind a snapshot's content.
func (s *Snapshots) description(f *os.File, id string) (description, error) {
	info, err := f.Stat()
	if err != nil {
		return description{}, err
	}
	sealed, err := readEnd(f, info.Size())
	if err != nil {
		return description{}, s.damage(id, "%v", err)
	}
	body, err := wire.Open(snapshotBucket, []byte(id), sealed)
	if err != nil {
		return description{}, s.damage(id, "its description: %v", err)
	}
	d, err := decodeDescription(body)
	switch {
	case errors.Is(err, errFormat):
		return d, fmt.Errorf("%s: %w", s.path(id), err)
	case err != nil:
		return d, s.damage(id, "its description: %v", err)
	case d.meta.ID != id || d.meta.Size != info.Size()-int64(len(sealed))-footerSize:
		return d, s.damage(id, "it is described as %s with %d bytes, and the file has %d", d.meta.ID, d.meta.Size, info.Size())
	}
	return d, nil
}

// readEnd reads the sealed description.
func readEnd(f io.ReaderAt, size int64) ([]byte, error) {
	var footer [footerSize]byte
	if size < footerSize {
		return nil, fmt.Errorf("truncated: it has %d bytes", size)
	}
	if _, err := f.ReadAt(footer[:], size-footerSize); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(footer[:]))
	if n > maxDescription || n > size-footerSize {
		return nil, fmt.Errorf("a description of %d bytes in a file of %d", n, size)
	}
	sealed := make([]byte, n)
	_, err := f.ReadAt(sealed, size-footerSize-n)
	return sealed, err
}

func (s *Snapshots) damage(id, format string, args ...any) error {
	return &Damage{File: s.path(id), What: fmt.Sprintf(format, args...)}
}

// Open returns a snapshot, whose content it has read and found to be what was written.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	f, err := os.Open(s.path(id))
	if err != nil {
		return nil, nil, err
	}
	d, err := s.description(f, id)
	if err == nil {
		hash := sha256.New()
		if _, err = io.Copy(hash, io.NewSectionReader(f, 0, d.meta.Size)); err == nil && [32]byte(hash.Sum(nil)) != d.hash {
			err = s.damage(id, "its content does not match its checksum")
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	content := bufio.NewReader(io.NewSectionReader(f, 0, d.meta.Size))
	return &d.meta, struct {
		io.Reader
		io.Closer
	}{content, f}, nil
}
