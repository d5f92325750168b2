package checkpoint

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/durable"
)

// Errors of a Store.
var (
	// ErrNotFound: there is no checkpoint of that name.
	ErrNotFound = errors.New("no such checkpoint")
	// ErrFull: the store has as much as it may.
	ErrFull = errors.New("the store of checkpoints is full")
)

// Store is a directory of checkpoints, each named by the SHA-256 of its file in hexadecimal.
type Store struct {
	dir  string
	most int64

	mu   sync.Mutex
	used int64            // by what is kept, and by files that are being written
	kept map[string]int64 // bytes, by name: also of files that List leaves out
}

const suffix = ".ckpt"

var nameRE = regexp.MustCompile(`^[0-9a-f]{64}$`)

// OpenStore opens or makes a directory that holds no more than most bytes, 0 for any number.
// What a process that died has left half is removed.
func OpenStore(dir string, most int64) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	half, err := filepath.Glob(filepath.Join(dir, durable.Pattern))
	if err != nil {
		return nil, err
	}
	for _, name := range half {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("checkpoints: %w", err)
		}
	}
	s := &Store{dir: dir, most: most, kept: map[string]int64{}}
	return s, s.reckon()
}

// reckon counts what is there, of a store that nobody else has yet.
func (s *Store) reckon() error {
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, id := range names {
		st, err := os.Stat(s.path(id))
		if err != nil {
			return fmt.Errorf("checkpoints: %w", err)
		}
		s.kept[id] = st.Size()
		s.used += st.Size()
	}
	return nil
}

// Info is a checkpoint of a store.
type Info struct {
	ID     string // its name
	Size   int64  // of its file, in bytes
	Header Header
}

// Draft is a checkpoint that is being written.
type Draft struct {
	store *Store
	file  *durable.File
	out   *bufio.Writer
	hash  hash.Hash
	size  int64
	begun int64 // so much of it is on its way to the disk
	err   error
}

// ahead is how much of a draft is written before the disk is told to begin: what Keep waits for is then the
// rest of a large file, and not all of it.
const ahead = 8 << 20

// Create begins a checkpoint. What is written to the draft is a file as [Writer] makes it; Keep or
// Discard ends it.
func (s *Store) Create() (*Draft, error) {
	f, err := durable.Create(s.dir, 0o600)
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	d := &Draft{store: s, file: f, hash: sha256.New()}
	d.out = bufio.NewWriterSize(f, 256<<10)
	return d, nil
}

// Write implements io.Writer.
func (d *Draft) Write(b []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.err = d.store.take(int64(len(b))); d.err != nil {
		return 0, d.err
	}
	d.size += int64(len(b))
	d.hash.Write(b)
	n, err := d.out.Write(b)
	if err == nil && d.size-d.begun >= ahead {
		err = d.begin()
	}
	if err != nil {
		d.err = fmt.Errorf("checkpoints: %w", err)
	}
	return n, d.err
}

// flush has what was written be in the file for who reads it.
func (d *Draft) flush() error {
	if err := d.out.Flush(); err != nil {
		d.err = fmt.Errorf("checkpoints: %w", err)
	}
	return d.err
}

// begin has the disk begin with what it has not begun.
func (d *Draft) begin() error {
	if err := d.out.Flush(); err != nil {
		return err
	}
	// Where a file system cannot, Keep waits for all of it.
	_ = unix.SyncFileRange(int(d.file.Fd()), d.begun, d.size-d.begun, unix.SYNC_FILE_RANGE_WRITE)
	d.begun = d.size
	return nil
}

// id is what its name will be, if nothing more is written to it.
func (d *Draft) id() string { return hex.EncodeToString(d.hash.Sum(nil)) }

// Keep puts it on the disk and returns its name, in place of what has that name: that may be damaged. When it fails
// nothing is left of it.
func (d *Draft) Keep() (Info, error) {
	err := d.err
	if err == nil {
		err = d.out.Flush()
	}
	var h Header
	if err == nil {
		h, err = d.header()
	}
	if err != nil {
		return Info{}, errors.Join(err, d.Discard())
	}
	i := Info{ID: d.id(), Size: d.size, Header: h}
	if err := d.file.Keep(d.store.path(i.ID)); err != nil {
		d.store.give(d.size)
		return Info{}, fmt.Errorf("checkpoints: %w", errors.Join(err, d.store.undo(i.ID)))
	}
	d.store.keeps(i.ID, i.Size)
	return i, nil
}

func (d *Draft) header() (Header, error) {
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return Header{}, err
	}
	return ReadHeader(d.file)
}

// Discard removes it.
func (d *Draft) Discard() error {
	d.store.give(d.size)
	return d.file.Discard()
}

func (s *Store) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.most > 0 && s.used+n > s.most {
		return fmt.Errorf("%w: it has %d bytes of %d: remove some, or allow more", ErrFull, s.used, s.most)
	}
	s.used += n
	return nil
}

func (s *Store) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// keeps notes which of the bytes that were taken a file has now, and gives back those that it had before; 0: it is gone.
func (s *Store) keeps(id string, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= s.kept[id]
	s.kept[id] = bytes
	if bytes == 0 {
		delete(s.kept, id)
	}
}

// undo removes a file that got its name, and perhaps not for good, unless there was one of that name before: it has
// the same content.
func (s *Store) undo(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, before := s.kept[id]; before {
		return nil
	}
	if err := os.Remove(s.path(id)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// free is how many bytes its file system has for this process. Known false: it does not say.
func (s *Store) free() (n int64, known bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, false, fmt.Errorf("checkpoints: free space of %s: %w", s.dir, err)
	}
	blocks := st.Bavail
	if os.Geteuid() == 0 { // who may also use what is set aside for it
		blocks = st.Bfree
	}
	return int64(blocks) * st.Frsize, st.Blocks > 0 && st.Frsize > 0, nil
}

func (s *Store) path(id string) string { return filepath.Join(s.dir, id+suffix) }

// Open reads a checkpoint's file. At its end the content is compared with the name: another is
// ErrDamaged in place of io.EOF.
func (s *Store) Open(id string) (io.ReadCloser, Info, error) {
	f, i, err := s.open(id, 0)
	if err != nil {
		return nil, Info{}, err
	}
	return &compared{File: f, hash: sha256.New(), id: id}, i, nil
}

// OpenAt reads a checkpoint's file from a byte on. The content is not compared with the name, but for
// offset 0.
func (s *Store) OpenAt(id string, offset int64) (io.ReadCloser, Info, error) {
	if offset == 0 {
		return s.Open(id)
	}
	f, i, err := s.open(id, offset)
	if err != nil {
		return nil, Info{}, err
	}
	return f, i, nil
}

// open opens a file that stands at an offset then.
func (s *Store) open(id string, offset int64) (*os.File, Info, error) {
	if !nameRE.MatchString(id) {
		return nil, Info{}, fmt.Errorf("%w: %.80q is no name of one", ErrNotFound, id)
	}
	f, err := os.Open(s.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Info{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, Info{}, fmt.Errorf("checkpoints: %w", err)
	}
	i, err := infoOf(f, id)
	if err == nil && (offset < 0 || offset > i.Size) {
		err = fmt.Errorf("%w: byte %d of %d", ErrOffset, offset, i.Size)
	}
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, Info{}, errors.Join(err, f.Close())
	}
	return f, i, nil
}

func infoOf(f *os.File, id string) (Info, error) {
	st, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	h, err := ReadHeader(f)
	return Info{ID: id, Size: st.Size(), Header: h}, err
}

// compared is a file whose content must have the name.
type compared struct {
	*os.File
	hash hash.Hash
	id   string
}

// Read implements io.Reader.
func (c *compared) Read(b []byte) (int, error) {
	n, err := c.File.Read(b)
	c.hash.Write(b[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.hash.Sum(nil)) != c.id {
		return n, fmt.Errorf("%w: the file's content is not that of %s", ErrDamaged, c.id)
	}
	return n, err
}

// Verify reads a checkpoint to its end.
func (s *Store) Verify(id string) error {
	f, _, err := s.Open(id)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, struct{ io.Reader }{f})
	return errors.Join(err, f.Close())
}

// List returns all checkpoints by name. One whose header cannot be read is left out; Verify
// says why.
func (s *Store) List() ([]Info, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, id := range names {
		f, err := os.Open(s.path(id))
		if err != nil {
			continue // it was removed meanwhile
		}
		if i, err := infoOf(f, id); err == nil {
			all = append(all, i)
		}
		_ = f.Close()
	}
	return all, nil
}

// names are those of the files that are kept.
func (s *Store) names() (ids []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && nameRE.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Remove removes a checkpoint. Removing one that is not there, or that others remove just now, is no error.
func (s *Store) Remove(id string) error {
	if !nameRE.MatchString(id) {
		return fmt.Errorf("%w: %.80q is no name of one", ErrNotFound, id)
	}
	err := os.Remove(s.path(id))
	there := !errors.Is(err, fs.ErrNotExist)
	if err != nil && there {
		return fmt.Errorf("checkpoints: %w", err)
	}
	s.keeps(id, 0)
	if !there {
		return nil
	}
	return durable.SyncDir(s.dir)
}
