package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// tryThread gives a thread of this process one policy and then another, while it runs: what
// the programs do without a cell. tryBound does it with one.
func tryThread(context.Context, *scene) (evidence string, err error) {
	if row := probe.Host().Row(probe.BPFLSM); !row.Works {
		return "", unavailable("policies are changed in the eBPF-LSM only: %s", row.Answer)
	}
	programs, err := guard.Load(guard.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, programs.Close()) }()
	dir, err := os.MkdirTemp("", "pyisolate-conformance-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, path := range []string{a, b} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			return "", err
		}
	}
	bound, err := programs.NewCell(readOnly(a))
	if err != nil {
		return "", err
	}
	defer bound.Close()
	err = onThread(func() error {
		if err := bound.BindSelf(); err != nil {
			return err
		}
		if err := errors.Join(opens(a), refused(b)); err != nil {
			return err
		}
		// From another thread: a bound one may not speak to eBPF.
		swapped := make(chan error, 1)
		go func() { swapped <- bound.Swap(readOnly(b)) }()
		if err := <-swapped; err != nil {
			return err
		}
		return errors.Join(opens(b), refused(a))
	})
	return "a thread that could open one file and not another could do the reverse as soon as its policy was changed", err
}

func readOnly(path string) policy.Policy {
	return policy.Policy{Files: []policy.FileRule{{Path: path, Access: policy.Read}}}
}

func opens(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("what the policy permits is refused: %w", err)
	}
	return f.Close()
}

// refused fails unless the kernel refuses to open the file.
func refused(path string) error {
	f, err := os.Open(path)
	if err == nil {
		_ = f.Close()
		return fmt.Errorf("what no rule permits was opened: %s", path)
	}
	if !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}
