package jail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is a part of the outer file system, held apart from it.
type tree struct {
	path string
	fd   int    // a detached mount
	link string // or what a symbolic link says
	dir  bool
}

// devices the jail has.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// places where the new root can be mounted before it is the root. Everything that
// is needed from the outside is held open by then.
var places = []string{"/tmp", "/run", "/mnt", "/var", "/usr"}

// enterRoot makes a new root directory from the trees that are granted, in memory,
// and leaves the old one. It must only be called in a mount namespace of our own:
// in the node's it would take the root directory away from the whole machine.
func (s *stage) enterRoot() error {
	if own := ownNamespaces()[layerMount]; own == "" || own == s.Outer[layerMount] || s.Outer[layerMount] == "" {
		return errors.New("the mounts are the node's own and are left alone")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	trees, err := s.takeTrees()
	if err != nil {
		return err
	}
	if err := s.mountRoot(); err != nil {
		return err
	}
	if err := s.ownDirectories(); err != nil { // first: the program may be below /tmp
		return err
	}
	for _, t := range trees {
		if err := t.attach(); err != nil {
			return fmt.Errorf("show %s: %w", t.path, err)
		}
	}
	// The new root goes on top of the old one, which is then unmounted.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &readOnly); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	if s.Limits.Tmp > 0 {
		return os.Chdir("/tmp")
	}
	return os.Chdir("/")
}

// takeTrees clones what the jail is to show, read-only.
func (s *stage) takeTrees() ([]tree, error) {
	var trees []tree
	var shown []string
	for _, path := range s.ReadOnly {
		t, err := take(path, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("take %s: %w", path, err)
		}
		trees, shown = append(trees, t), append(shown, path)
	}
	if !within(s.Path, shown) {
		t, err := take(s.Path, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
		if err != nil {
			return nil, fmt.Errorf("take %s: %w", s.Path, err)
		}
		trees = append(trees, t)
	}
	for _, path := range devices {
		t, err := take(path, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
		if err != nil {
			return nil, fmt.Errorf("take %s: %w", path, err)
		}
		trees = append(trees, t)
	}
	return trees, nil
}

func within(path string, dirs []string) bool {
	for _, d := range dirs {
		if path == d || strings.HasPrefix(path, d+"/") {
			return true
		}
	}
	return false
}

// take clones the mounts at path, with what is mounted below.
func take(path string, attr uint64) (tree, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return tree{}, err
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		link, err := os.Readlink(path)
		return tree{path: path, link: link, fd: -1}, err
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return tree{}, fmt.Errorf("open_tree: %w", err)
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attr}); err != nil {
		return tree{}, fmt.Errorf("mount_setattr: %w", err)
	}
	return tree{path: path, fd: fd, dir: st.IsDir()}, nil
}

// mountRoot mounts an empty file system in memory and goes there.
func (s *stage) mountRoot() (err error) {
	for _, place := range places {
		if err = unix.Mount("jail", place, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k,nr_inodes=256,mode=0755"); err == nil {
			return os.Chdir(place)
		}
	}
	return fmt.Errorf("mount the new root: %w", err)
}

// attach puts the tree to its place in the new root, which is the working directory.
func (t tree) attach() error {
	target := "." + t.path
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	switch {
	case t.fd < 0:
		return os.Symlink(t.link, target)
	case t.dir:
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
	default:
		f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_ = f.Close()
	}
	if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return unix.Close(t.fd)
}

// ownDirectories makes /tmp and /proc.
func (s *stage) ownDirectories() error {
	for _, dir := range []string{"./tmp", "./proc"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if s.Limits.Tmp > 0 {
		options := fmt.Sprintf("size=%d,nr_inodes=4096,mode=1777", s.Limits.Tmp)
		if err := unix.Mount("tmp", "./tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
			return fmt.Errorf("mount /tmp: %w", err)
		}
	}
	s.layer(layerProc, unix.Mount("proc", "./proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
	return nil
}
