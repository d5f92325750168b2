package osthread

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunEndsItsThread(t *testing.T) {
	want := errors.New("what f said")
	for range 50 {
		tid := 0
		err := Run(func() error {
			tid = unix.Gettid()
			return want
		})
		if !errors.Is(err, want) {
			t.Fatalf("Run: %v, want %v", err, want)
		}
		if tid == os.Getpid() {
			t.Fatal("it ran on the process's first thread")
		}
		gone := func() bool {
			_, err := os.Stat("/proc/self/task/" + strconv.Itoa(tid))
			return errors.Is(err, os.ErrNotExist)
		}
		await.That(t, "the thread is gone", gone)
	}
}

func TestRunKeepsWhatAThreadPutOn(t *testing.T) {
	err := Run(func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		err := Run(func() error {
			if on, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); on != 0 {
				return errors.New("a new thread has no_new_privs from an earlier one")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
