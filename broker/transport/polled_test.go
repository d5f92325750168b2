package transport

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
)

// threads of this process.
func threads(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Sockets of a process with many of them are waited for without a thread each.
func TestManyAreAwaited(t *testing.T) {
	const many = 100
	before := threads(t)
	var waiting sync.WaitGroup
	var sockets, peers []*Polled
	for range many {
		x, y := mustPair(t)
		a, err := NewPolled(x)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewPolled(y)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		sockets, peers = append(sockets, a), append(peers, b)
		waiting.Go(a.Await)
	}
	await.That(t, "all to wait", func() bool { return armed(sockets) == many })
	if more := threads(t) - before; more > many/4 {
		t.Errorf("%d threads more for %d sockets", more, many)
	}
	for _, p := range peers {
		if err := p.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	waiting.Wait()
}

// armed counts bells that are to ring: whoever waits has armed one.
func armed(sockets []*Polled) (n int) {
	for _, s := range sockets {
		_ = s.raw.Control(func(bell uintptr) {
			var fd, events uint
			text, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", bell))
			_, target, _ := strings.Cut(string(text), "tfd:")
			_, err := fmt.Sscanf(target, "%d events: %x", &fd, &events)
			if err == nil && events&unix.EPOLLIN != 0 {
				n++
			}
		})
	}
	return n
}
