package files

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// scopeFields is what a grant says. The word form is a root.
type scopeFields struct {
	Roots        []string        `json:"roots"`
	MaxFileBytes capability.Size `json:"max_file_bytes"`
	TotalBytes   capability.Size `json:"total_bytes"` // fs.write
	Mode         string          `json:"mode"`        // fs.write
}

// scope is a grant in force. It belongs to one cell.
type scope struct {
	name    string  // of the capability
	roots   []*root // the longest first
	maxFile int64   // 0 is unlimited
	total   int64   // 0 is unlimited
	written atomic.Int64
	mode    uint32 // of new files
}

const (
	maxRoots    = 64
	defaultMode = 0o644
)

func (f scopeFields) validate(writes bool) (mode uint32, err error) {
	if len(f.Roots) == 0 || len(f.Roots) > maxRoots {
		return 0, capability.Errorf(capability.Invalid, "roots has %d paths; name 1 to %d", len(f.Roots), maxRoots)
	}
	if !writes && (f.TotalBytes != 0 || f.Mode != "") {
		return 0, capability.Errorf(capability.Invalid, "total_bytes and mode are for fs.write")
	}
	if f.Mode == "" {
		return defaultMode, nil
	}
	m, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil || m > 0o777 {
		return 0, capability.Errorf(capability.Invalid, "mode %q: write permission bits in octal, such as \"0640\"", f.Mode)
	}
	return uint32(m), nil
}

// CheckScope reports what is wrong with the scope of a grant of one of these capabilities, by
// its name. No root is looked at.
func CheckScope(name string, raw json.RawMessage) error {
	var f scopeFields
	if err := capability.DecodeScope(raw, "roots", &f); err != nil {
		return err
	}
	for _, root := range f.Roots {
		if !filepath.IsAbs(root) {
			return capability.Errorf(capability.Invalid, "root %q is not an absolute path", root)
		}
	}
	_, err := f.validate(name == WriteName)
	return err
}

// openScope opens the roots of a grant.
func openScope(name string, raw json.RawMessage, writes, walk bool) (*scope, error) {
	var f scopeFields
	if err := capability.DecodeScope(raw, "roots", &f); err != nil {
		return nil, err
	}
	mode, err := f.validate(writes)
	if err != nil {
		return nil, err
	}
	s := &scope{name: name, maxFile: int64(f.MaxFileBytes), total: int64(f.TotalBytes), mode: mode}
	for _, path := range f.Roots {
		r, err := openRoot(path, writes)
		if err != nil {
			_ = s.Close()
			return nil, err
		}
		r.walk = walk
		s.roots = append(s.roots, r)
	}
	slices.SortStableFunc(s.roots, func(a, b *root) int { return len(b.path) - len(a.path) })
	return s, nil
}

// Close gives the roots' descriptors back.
func (s *scope) Close() error {
	for _, r := range s.roots {
		r.close()
	}
	return nil
}

// place is where a guest's path leads: beneath a root, or nowhere.
type place struct {
	*root
	rel  string
	path string // as the guest wrote it
	rule string
}

// locate finds the root with the longest prefix of path, by whole components. It
// does not interpret "..": the rest is resolved beneath that root or not at all.
func (s *scope) locate(path string) (place, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
		return place{}, capability.Errorf(capability.Invalid, "path %q is not absolute: begin with '/'", path)
	}
	if len(path) > maxPath {
		return place{}, capability.Errorf(capability.Invalid, "the path has %d bytes; %d is the most", len(path), maxPath)
	}
	parts, _ := split(path)
	clean := "/" + strings.Join(parts, "/")
	for _, r := range s.roots {
		if rel, ok := r.match(clean); ok {
			return place{root: r, rel: rel, path: path, rule: s.name + "=" + r.path}, nil
		}
	}
	return place{}, capability.Denyf(s.name+": roots", "%s is not in a directory that is granted", path)
}

func (r *root) match(clean string) (rel string, ok bool) {
	if r.base != "" {
		return r.base, clean == r.path
	}
	rest, ok := strings.CutPrefix(clean, strings.TrimSuffix(r.path, "/"))
	switch {
	case !ok || rest != "" && rest[0] != '/':
		return "", false
	case rest == "" || rest == "/":
		return ".", true
	}
	return rest[1:], true
}

// kernelFS are the file systems whose files are doors into the kernel or into other
// processes, the node's own memory among them.
var kernelFS = []int64{unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
	unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.SELINUX_MAGIC,
	unix.SMACK_MAGIC, unix.PSTOREFS_MAGIC, unix.EFIVARFS_MAGIC, unix.NSFS_MAGIC, unix.BINDERFS_SUPER_MAGIC, unix.USBDEVICE_SUPER_MAGIC,
	configFS, fuseCtl}

// Missing in package unix; from linux/magic.h and fs/fuse/fuse_i.h.
const (
	configFS = 0x62656570
	fuseCtl  = 0x65735543
)

// checkFS refuses a descriptor of a kernel file system.
func (p place) checkFS(fd int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return p.explain(err)
	}
	if slices.Contains(kernelFS, int64(st.Type)) { //nolint:unconvert // its type differs by architecture
		return capability.Denyf(p.rule+": no kernel file systems", "%s is in a file system of the kernel's own", p.path)
	}
	return nil
}

// checkFile refuses what is not a regular file within the grant's size.
func (s *scope) checkFile(p place, fd int) (unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return st, p.explain(err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return st, p.explain(unix.EISDIR)
	default:
		return st, p.notRegular()
	}
	if err := p.checkFS(fd); err != nil {
		return st, err
	}
	return st, s.checkSize(p, st.Size)
}

func (p place) notRegular() error {
	return capability.Denyf(p.rule+": regular files only", "%s is not a regular file", p.path)
}

func (s *scope) checkSize(p place, size int64) error {
	if s.maxFile > 0 && size > s.maxFile {
		return capability.Denyf(p.rule+": max_file_bytes", "%s would be or is of %d bytes; the grant allows files of %d", p.path, size, s.maxFile)
	}
	return nil
}
