package files

import (
	"context"
	"crypto/rand"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

type putArgs struct {
	Path string `json:"path"`
	// Exclusive refuses to replace a file.
	Exclusive bool `json:"exclusive"`
	// Sync returns only when the disk has it.
	Sync bool `json:"sync"`
	capability.Content
}

type written struct {
	// Size of the file afterwards.
	Size int64 `json:"size"`
}

// writeArgs reads what put and append have in common.
func writeArgs(s *scope, c *capability.Call) (a putArgs, data []byte, p place, err error) {
	body, err := c.Arguments(&a)
	if err != nil {
		return a, nil, place{}, err
	}
	data, has, err := a.Bytes(body)
	if err == nil && !has {
		err = capability.Errorf(capability.Invalid, "there is nothing to write: give text, base64 or a packed payload")
	}
	if err != nil {
		return a, nil, place{}, err
	}
	p, err = s.at(c, a.Path)
	return a, data, p, err
}

// reserve takes n bytes from the grant's total; refund gives them back.
func (s *scope) reserve(p place, n int) error {
	if now := s.written.Add(int64(n)); s.total > 0 && now > s.total {
		s.refund(n)
		return capability.Errorf(capability.Quota, "%s: %d bytes more would exceed the %d that this grant allows in all", p.path, n, s.total)
	}
	return nil
}

func (s *scope) refund(n int) { s.written.Add(int64(-n)) }

// put replaces a file as a whole: whoever reads it sees the old or the new one.
func put(ctx context.Context, s *scope, c *capability.Call) (capability.Value, error) {
	a, data, p, err := writeArgs(s, c)
	if err != nil {
		return capability.Value{}, err
	}
	if err := s.checkSize(p, int64(len(data))); err != nil {
		return capability.Value{}, err
	}
	dir, base, err := p.parent(p.rel)
	if err != nil {
		return capability.Value{}, p.explain(err)
	}
	defer func() { _ = unix.Close(dir) }()
	mode, err := s.replaceable(p, dir, base, a.Exclusive)
	if err != nil {
		return capability.Value{}, err
	}
	if err := s.reserve(p, len(data)); err != nil {
		return capability.Value{}, err
	}
	if err := replace(ctx, dir, base, data, mode, a); err != nil {
		s.refund(len(data))
		return capability.Value{}, p.explain(err)
	}
	return capability.JSONValue(written{int64(len(data))})
}

// replaceable says whether a file may be put at base, and with which mode.
func (s *scope) replaceable(p place, dir int, base string, exclusive bool) (mode uint32, err error) {
	if err := p.checkFS(dir); err != nil {
		return 0, err
	}
	var st unix.Stat_t
	err = unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return s.mode, nil
	case err != nil:
		return 0, p.explain(err)
	case exclusive:
		return 0, p.explain(unix.EEXIST)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return st.Mode & 0o777, nil
	case unix.S_IFDIR:
		return 0, p.explain(unix.EISDIR)
	case unix.S_IFLNK:
		return 0, capability.Denyf(p.rule+": links", "%s is a link, which put does not replace: name the file itself", p.path)
	}
	return 0, p.notRegular()
}

// replace writes a file beside base and renames it. Renames never follow a link, so
// whatever base has become meanwhile, nothing outside dir is touched.
func replace(ctx context.Context, dir int, base string, data []byte, mode uint32, a putArgs) (err error) {
	temp := ".pyisolate-" + rand.Text()
	fd, err := unix.Openat(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		_ = unix.Close(fd)
		if err != nil {
			_ = unix.Unlinkat(dir, temp, 0)
		}
	}()
	if err := writeAll(ctx, fd, data); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return err
	}
	if a.Sync {
		if err := unix.Fsync(fd); err != nil {
			return err
		}
	}
	flags := uint(0)
	if a.Exclusive {
		flags = unix.RENAME_NOREPLACE
	}
	if err := unix.Renameat2(dir, temp, dir, base, flags); err != nil {
		return err
	}
	if a.Sync {
		return syncDir(dir)
	}
	return nil
}

func writeAll(ctx context.Context, fd int, data []byte) error {
	for len(data) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Write(fd, data[:min(chunk, len(data))])
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data = data[max(0, n):]
	}
	return nil
}

// syncDir makes a rename durable. The error of it is not the file's: it is in place.
func syncDir(dir int) error {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // a directory that may be written but not read cannot be synced
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Fsync(fd)
}

// appendTo adds to a file's end, in one write where the kernel does it in one.
func appendTo(ctx context.Context, s *scope, c *capability.Call) (capability.Value, error) {
	a, data, p, err := writeArgs(s, c)
	if err != nil {
		return capability.Value{}, err
	}
	if a.Exclusive {
		return capability.Value{}, capability.Errorf(capability.Invalid, "exclusive is for put")
	}
	if err := s.checkParent(p); err != nil {
		return capability.Value{}, err
	}
	fd, err := p.open(p.rel, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|openFlags, s.mode)
	if err != nil {
		return capability.Value{}, p.explain(err)
	}
	defer func() { _ = unix.Close(fd) }()
	st, err := s.checkFile(p, fd)
	if err != nil {
		return capability.Value{}, err
	}
	if st.Nlink > 1 {
		return capability.Value{}, capability.Denyf(p.rule+": hard links", "%s has %d names, and not all need be in the directory that is granted", p.path, st.Nlink)
	}
	if err := s.checkSize(p, st.Size+int64(len(data))); err != nil {
		return capability.Value{}, err
	}
	if err := s.reserve(p, len(data)); err != nil {
		return capability.Value{}, err
	}
	if err := writeAll(ctx, fd, data); err != nil {
		return capability.Value{}, p.explain(err)
	}
	if a.Sync {
		if err := unix.Fsync(fd); err != nil {
			return capability.Value{}, p.explain(err)
		}
	}
	return capability.JSONValue(written{st.Size + int64(len(data))})
}

// checkParent refuses kernel file systems before something is created in one.
func (s *scope) checkParent(p place) error {
	dir, _, err := p.parent(p.rel)
	if err != nil {
		return p.explain(err)
	}
	defer func() { _ = unix.Close(dir) }()
	return p.checkFS(dir)
}

// inParent opens the directory of a call's path and has do act there.
func inParent(s *scope, c *capability.Call, do func(dir int, base string) error) (capability.Value, error) {
	var a pathArgs
	if _, err := c.Arguments(&a); err != nil {
		return capability.Value{}, err
	}
	p, err := s.at(c, a.Path)
	if err != nil {
		return capability.Value{}, err
	}
	dir, base, err := p.parent(p.rel)
	if err != nil {
		return capability.Value{}, p.explain(err)
	}
	defer func() { _ = unix.Close(dir) }()
	if err := p.checkFS(dir); err != nil {
		return capability.Value{}, err
	}
	if err := do(dir, base); err != nil {
		return capability.Value{}, p.explain(err)
	}
	return capability.Null(), nil
}

func mkdir(_ context.Context, s *scope, c *capability.Call) (capability.Value, error) {
	return inParent(s, c, func(dir int, base string) error { return unix.Mkdirat(dir, base, 0o755) })
}

// remove deletes a file, a link (not what it leads to) or an empty directory.
func remove(_ context.Context, s *scope, c *capability.Call) (capability.Value, error) {
	return inParent(s, c, func(dir int, base string) error {
		err := unix.Unlinkat(dir, base, 0)
		if errors.Is(err, unix.EISDIR) {
			return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
		}
		return err
	})
}
