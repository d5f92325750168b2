package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// canaries are two files that every user may read, each by a link: the gate judges the
// link's name and the kernel what it leads to.
type canaries struct {
	links string
	dirs  [2]string
}

// The files' texts, of which a cell may learn one.
var canaryTexts = [2]string{"canary A", "canary B"}

func withCanaries(f func(canaries) (string, error)) (evidence string, err error) {
	root, err := os.MkdirTemp("", "pyisolate-conformance-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	c := canaries{links: filepath.Join(root, "links"), dirs: [2]string{filepath.Join(root, "a"), filepath.Join(root, "b")}}
	for _, dir := range []string{root, c.links, c.dirs[0], c.dirs[1]} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { // whatever the umask is
			return "", err
		}
	}
	for i, text := range canaryTexts {
		file := filepath.Join(c.dirs[i], "file")
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chmod(file, 0o644), os.Symlink(file, c.link(i))); err != nil {
			return "", err
		}
	}
	return f(c)
}

func (c canaries) link(i int) string { return filepath.Join(c.links, filepath.Base(c.dirs[i])) }

// policy lets a cell follow both links, and read one file.
func (c canaries) policy(i int) *policy.Policy {
	return &policy.Policy{Files: []policy.FileRule{{Path: c.links, Access: policy.Read}, {Path: c.dirs[i], Access: policy.Read}}}
}

// reads fails unless the cell can read the file i by its link, and not the other.
func (c canaries) reads(ctx context.Context, guest cell.Cell, i int) error {
	for j, text := range canaryTexts {
		err := guest.Exec(ctx, source(fmt.Sprintf("try: said = open(%q).read()\nexcept PermissionError: said = None\npost(said)", c.link(j))))
		if err != nil {
			return fmt.Errorf("read file %d: %w", j, err)
		}
		want := "null"
		if j == i {
			want = fmt.Sprintf("%q", text)
		}
		if err := expect(ctx, guest, want); err != nil {
			return fmt.Errorf("with a policy for file %d, of file %d: %w", i, j, err)
		}
	}
	return nil
}

// tryBound replaces the rules for files of a running cell, by the eBPF-LSM and nothing less.
func tryBound(ctx context.Context, s *scene) (string, error) {
	return withCanaries(func(c canaries) (string, error) { return s.exchange(ctx, c, stack.LSM) })
}

// tryBoundNetwork does it with the rules for addresses.
func tryBoundNetwork(ctx context.Context, s *scene) (string, error) {
	return withServers(func(v servers) (string, error) { return s.exchange(ctx, v, stack.LSM) })
}
