package pydist

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// manifestName is the manifest's file name in an unpacked Python. Its lines are
//
//	pyisolate-python 1
//	f SHA256 SIZE MTIME CTIME PATH     a regular file; times in nanoseconds
//	l TARGET PATH                      a symbolic link
//	sha256 HASH                        of everything above
//
// The last line makes a torn or edited manifest invalid as a whole.
const (
	manifestName  = "MANIFEST"
	manifestMagic = "pyisolate-python 1"
)

// manifest says what an unpacked Python consists of.
type manifest struct {
	files []fileEntry
	links []linkEntry
}

type fileEntry struct {
	path   string // slash-separated, relative to the directory of the manifest
	sha256 string
	stamp  stamp
}

type linkEntry struct{ path, target string }

// stamp tells whether a file was touched since it was hashed.
//
// Hashing everything takes a tenth of a second, too long for each start of a
// cell, so a file is hashed again only when its stamp differs. The change time
// is part of it because, unlike the modification time, no program can set it:
// every write through the kernel moves it. What remains unseen is a bit that
// flips on the medium by itself, or a writer with access to the raw device.
type stamp struct{ size, mtime, ctime int64 }

// stampAt looks at rel below the open directory dir. Going by directory saves
// walking the same long path a thousand times.
func stampAt(dir *os.File, rel string) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), rel, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return stamp{}, &fs.PathError{Op: "lstat", Path: filepath.Join(dir.Name(), rel), Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return stamp{}, fmt.Errorf("%s/%s is no longer a regular file", dir.Name(), rel)
	}
	return stamp{size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}, nil
}

func (m manifest) hashOf(path string) string {
	for _, f := range m.files {
		if f.path == path {
			return f.sha256
		}
	}
	return ""
}

// check compares the manifest with what is on disk, hashing only files whose
// stamps differ. Files with new stamps and old content (a restored backup) are
// fine; their stamps are written back when the cache is writable.
func (m manifest) check(home string) error {
	dir, err := os.Open(home)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only read
	restamped := false
	for i := range m.files {
		changed, err := m.files[i].check(dir)
		if err != nil {
			return err
		}
		restamped = restamped || changed
	}
	for _, l := range m.links {
		if target, err := os.Readlink(filepath.Join(home, l.path)); err != nil {
			return err
		} else if target != l.target {
			return fmt.Errorf("%s/%s points to %s, was %s", home, l.path, target, l.target)
		}
	}
	if restamped {
		// Only saves time at the next start, and a read-only cache is fine.
		_ = m.save(home)
	}
	return nil
}

// check reports whether f has a new stamp with its old content.
func (f *fileEntry) check(dir *os.File) (restamped bool, err error) {
	now, err := stampAt(dir, f.path)
	if err != nil || now == f.stamp {
		return false, err
	}
	path := filepath.Join(dir.Name(), f.path)
	sum, err := hashFile(path)
	if err != nil {
		return false, err
	}
	if sum != f.sha256 {
		return false, fmt.Errorf("%s is damaged: its SHA-256 is %s, was %s", path, sum, f.sha256)
	}
	f.stamp = now
	return true, nil
}

// writeManifest records everything in home, and takes write permission from
// everyone but the owner so that openCache can trust it.
func writeManifest(home string) error {
	dir, err := os.Open(home)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only read
	var m manifest
	err = filepath.WalkDir(home, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(home, path)
		if err != nil {
			return err
		}
		return m.add(dir, rel, e)
	})
	if err != nil {
		return fmt.Errorf("hash the unpacked files: %w", err)
	}
	return m.save(home)
}

func (m *manifest) add(dir *os.File, rel string, e fs.DirEntry) error {
	path := filepath.Join(dir.Name(), rel)
	if e.Type() == fs.ModeSymlink {
		target, err := os.Readlink(path)
		m.links = append(m.links, linkEntry{path: rel, target: target})
		return err
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	if err := os.Chmod(path, info.Mode().Perm()&^0o022|0o444); err != nil {
		return err
	}
	if e.IsDir() {
		return nil
	}
	sum, err := hashFile(path)
	if err != nil {
		return err
	}
	s, err := stampAt(dir, rel)
	m.files = append(m.files, fileEntry{path: rel, sha256: sum, stamp: s})
	return err
}

func (m manifest) save(dir string) error {
	tmp, err := os.CreateTemp(dir, manifestName+".tmp-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(m.encode())
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, manifestName))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the manifest: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

func (m manifest) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, manifestMagic)
	for _, f := range m.files {
		fmt.Fprintf(&b, "f %s %d %d %d %s\n", f.sha256, f.stamp.size, f.stamp.mtime, f.stamp.ctime, f.path)
	}
	for _, l := range m.links {
		fmt.Fprintf(&b, "l %s %s\n", l.target, l.path)
	}
	sum := sha256.Sum256(b.Bytes())
	fmt.Fprintf(&b, "sha256 %s\n", hex.EncodeToString(sum[:]))
	return b.Bytes()
}

func readManifest(dir string) (manifest, error) {
	path := filepath.Join(dir, manifestName)
	data, err := os.ReadFile(path)
	if err != nil {
		return manifest{}, err
	}
	m, err := decodeManifest(data)
	if err != nil {
		return manifest{}, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return m, nil
}

func decodeManifest(data []byte) (manifest, error) {
	body, ok := checkedBody(data)
	if !ok {
		return manifest{}, errors.New("its checksum does not match")
	}
	body, ok = bytes.CutPrefix(body, []byte(manifestMagic+"\n"))
	if !ok {
		return manifest{}, fmt.Errorf("it does not begin with %q", manifestMagic)
	}
	m := manifest{files: make([]fileEntry, 0, bytes.Count(body, []byte("\n")))}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		if err := m.decodeLine(lines.Text()); err != nil {
			return manifest{}, err
		}
	}
	return m, nil
}

// checkedBody returns what precedes the checksum line, if that line is right.
func checkedBody(data []byte) ([]byte, bool) {
	const tail = len("sha256 \n") + 2*sha256.Size
	if len(data) < tail {
		return nil, false
	}
	body := data[:len(data)-tail]
	sum := sha256.Sum256(body)
	return body, string(data[len(body):]) == "sha256 "+hex.EncodeToString(sum[:])+"\n"
}

func (m *manifest) decodeLine(line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "f":
		p := strings.SplitN(rest, " ", 5)
		if len(p) != 5 {
			return fmt.Errorf("bad line %q", line)
		}
		size, err1 := strconv.ParseInt(p[1], 10, 64)
		mtime, err2 := strconv.ParseInt(p[2], 10, 64)
		ctime, err3 := strconv.ParseInt(p[3], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil || !filepath.IsLocal(p[4]) {
			return fmt.Errorf("bad line %q", line)
		}
		m.files = append(m.files, fileEntry{path: p[4], sha256: p[0], stamp: stamp{size, mtime, ctime}})
	case "l":
		target, path, ok := strings.Cut(rest, " ")
		if !ok || !filepath.IsLocal(path) {
			return fmt.Errorf("bad line %q", line)
		}
		m.links = append(m.links, linkEntry{path: path, target: target})
	default:
		return fmt.Errorf("bad line %q", line)
	}
	return nil
}

func hashFile(path string) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
