package notify

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

func openClose(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// BenchmarkOpenClose is what an open costs: without a filter, injected, denied, and when
// the kernel goes on with it.
func BenchmarkOpenClose(b *testing.B) {
	tr := newTree(b)
	file := tr.at("a/file")
	b.Run("plain", func(b *testing.B) {
		err := osthread.Run(func() error {
			for b.Loop() {
				if err := openClose(file); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	})
	for name, c := range map[string]struct {
		target Target
		want   error
	}{
		"injected":  {Target{Rules: compiled(b, tr.rules()...)}, nil},
		"denied":    {Target{}, unix.EACCES},
		"continued": {Target{Continue: []string{tr.at("a")}}, nil},
	} {
		b.Run(name, func(b *testing.B) {
			s := supervisor(b, Options{})
			on(b, s, c.target, func(*Watched) error {
				for b.Loop() {
					if err := openClose(file); !errors.Is(err, c.want) {
						return err
					}
				}
				return nil
			})
		})
	}
}

// BenchmarkBusy is the same with many threads at once, each with its listener; the figure is
// the time per open of all.
func BenchmarkBusy(b *testing.B) {
	const threads = 64
	tr := newTree(b)
	s := supervisor(b, Options{})
	target := Target{Rules: compiled(b, tr.rules()...)}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for range threads {
		all.Go(func() {
			err := onThread(s, target, func(*Watched) error {
				for left.Add(-1) >= 0 {
					if err := openClose(tr.at("a/file")); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
}

// BenchmarkAdd is what a thread takes to put the program on and to be watched, and Close.
func BenchmarkAdd(b *testing.B) {
	s := supervisor(b, Options{})
	for b.Loop() {
		on(b, s, Target{}, func(w *Watched) error { return w.Close() })
	}
}

// BenchmarkUnwatched is what the program costs a call that it allows.
func BenchmarkUnwatched(b *testing.B) {
	s := supervisor(b, Options{})
	on(b, s, Target{}, func(*Watched) error {
		for b.Loop() {
			_ = unix.Getppid()
		}
		return nil
	})
}

func BenchmarkSwap(b *testing.B) {
	w := &Watched{}
	rules := &Rules{}
	for b.Loop() {
		w.Swap(rules)
	}
}

func BenchmarkCompileRules(b *testing.B) {
	tr := newTree(b)
	for b.Loop() {
		if _, err := Compile(tr.rules()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	rules := compiled(b, policy.FileRule{Path: "/usr/lib", Access: r}, policy.FileRule{Path: "/", Access: r})
	for b.Loop() {
		left := policy.Steps(maxSteps)
		rules.judge("/usr/lib/python3.14/encodings/__init__.py", &left)
	}
}
