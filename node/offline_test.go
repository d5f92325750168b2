package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A data directory is kept from nodes while something is done to it, and given back whatever comes.
func TestWithData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	failed := errors.New("failed")
	err := WithData(dir, "test", func(given string) error {
		if given != dir {
			t.Errorf("given %s, want %s", given, dir)
		}
		if err := WithData(dir, "test", func(string) error { return nil }); !errors.Is(err, ErrInUse) {
			t.Errorf("twice at once: %v", err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	if err := WithData(dir, "test", func(string) error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	err = WithData(dir, "test", func(string) error {
		t.Error("it was done to a directory that everybody can change")
		return nil
	})
	if !errors.Is(err, ErrData) {
		t.Errorf("open to others: %v", err)
	}
}
