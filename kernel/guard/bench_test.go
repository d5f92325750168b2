package guard

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

func BenchmarkOpenClose(b *testing.B) {
	g := guarded(b)
	tr := newTree(b)
	c := newCell(b, g, tr.policy())
	loop := func(b *testing.B) func() error {
		return func() error {
			for b.Loop() {
				fd, err := unix.Open(tr.at("a/file"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					return err
				}
				_ = unix.Close(fd)
			}
			return nil
		}
	}
	b.Run("free", func(b *testing.B) {
		if err := osthread.Run(loop(b)); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("bound", func(b *testing.B) { on(b, c, loop(b)) })
}

// BenchmarkBind binds another thread: a bound one may not bind.

func BenchmarkBind(b *testing.B) {
	c := newCell(b, guarded(b), policy.Policy{})
	tid, done, ended := make(chan int), make(chan struct{}), make(chan error)
	go func() {
		ended <- osthread.Run(func() error {
			tid <- unix.Gettid()
			<-done
			return nil
		})
	}()
	other := <-tid
	for b.Loop() {
		if err := c.Bind(other); errors.Is(err, ErrClaim) {
			b.Skip(err)
		} else if err != nil {
			b.Fatal(err)
		}
	}
	close(done)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPublish(b *testing.B) {
	g := guarded(b)
	c := newCell(b, g, policy.Policy{})
	b.Run("swap", func(b *testing.B) {
		for b.Loop() {
			if err := c.Swap(policy.Policy{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("deny", func(b *testing.B) {
		for b.Loop() {
			c.DenyAll()
		}
	})
}
