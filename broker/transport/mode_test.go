package transport

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseMode(t *testing.T) {
	for _, m := range []Mode{ModeAuto, ModeUring, ModeSocket} {
		if got, err := ParseMode(string(m)); got != m || err != nil {
			t.Errorf("%q: %q, %v", m, got, err)
		}
	}
	for _, s := range []string{"", "Auto", "io_uring"} {
		if _, err := ParseMode(s); err == nil || !strings.Contains(err.Error(), "auto, uring or socket") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestOpen(t *testing.T) {
	for mode, want := range map[Mode]string{"": "*transport.Polled", ModeAuto: "*transport.Polled", ModeSocket: "*transport.Polled", ModeUring: "*transport.Ring"} {
		t.Run("mode "+string(mode), func(t *testing.T) {
			x, _ := mustPair(t)
			tr, err := Open(x, mode)
			if errors.Is(err, ErrNoUring) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tr.Close() }()
			if got := fmt.Sprintf("%T", tr); got != want {
				t.Errorf("is a %s, not a %s", got, want)
			}
		})
	}
	x, _ := mustPair(t)
	if _, err := Open(x, "fast"); err == nil {
		t.Error("opened in an unknown mode")
	}
}

// Where io_uring is refused, uring says so and leaves the socket alone, with which
// the other modes then work.
func TestUringRefused(t *testing.T) {
	answers := map[string]struct {
		setup setupFunc
		says  string
	}{
		"not built in": {func(uint32, *params) (int, error) { return -1, unix.ENOSYS }, "seccomp filter hides it"},
		"forbidden":    {func(uint32, *params) (int, error) { return -1, unix.EPERM }, "io_uring_setup: operation not permitted: "},
		"no memory":    {func(uint32, *params) (int, error) { return -1, unix.ENOMEM }, "RLIMIT_MEMLOCK"},
		"old kernel":   {answer(params{sqEntries: 4, cqEntries: 8, features: featSingleMmap}), "5.7 or later"},
		"no entries":   {answer(params{features: allFeatures}), "rings of 0 and 0 entries"},
		"odd entries":  {answer(params{sqEntries: 3, cqEntries: 8, features: allFeatures}), "rings of 3 and 8 entries"},
		"huge":         {answer(params{sqEntries: 4, cqEntries: 1 << 31, features: allFeatures}), "entries in 34359738368 bytes"},
		"not a ring":   {answer(params{sqEntries: 4, cqEntries: 8, features: allFeatures}), "map the rings"},
	}
	for name, a := range answers {
		t.Run(name, func(t *testing.T) {
			x, y := mustPair(t)
			tr, err := open(x, ModeUring, a.setup)
			if tr != nil || !errors.Is(err, ErrNoUring) || !strings.Contains(err.Error(), a.says) {
				t.Fatalf("%v, error %v", tr, err)
			}
			auto, err := open(x, ModeAuto, a.setup)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = auto.Close() }()
			if _, err := y.WriteString("through"); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 7)
			if err := readFull(auto, got); err != nil || string(got) != "through" {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
}

const allFeatures = featSingleMmap | featFastPoll

// answer is a kernel that makes something of these properties.
func answer(made params) setupFunc {
	return func(_ uint32, p *params) (int, error) {
		*p = made
		return unix.Eventfd(0, unix.EFD_CLOEXEC) // cannot be mapped
	}
}
