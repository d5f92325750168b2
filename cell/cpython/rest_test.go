package cpython_test

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
)

// lent counts, in KiB, what this process has mapped of the file that lends cells their unused lookups, and what it has
// written to of that.
func lent(t *testing.T) (size, written int) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	inside := false
	for s := bufio.NewScanner(f); s.Scan(); {
		field := strings.Fields(s.Text())
		if strings.Contains(field[0], "-") {
			inside = strings.Contains(s.Text(), "memfd:pyisolate-unused")
			continue
		}
		if !inside {
			continue
		}
		n, _ := strconv.Atoi(field[1])
		switch field[0] {
		case "Size:":
			size += n
		case "Anonymous:":
			written += n
		}
	}
	return size, written
}

// A cell that rests has the pages of its cache of attribute lookups from a file that all cells have them from, and
// pages of its own again as it uses the cache.
func TestUnusedLookupsAreLent(t *testing.T) {
	b := startUnclaimed(t)
	whole, _ := lent(t) // one that waits in a pool does not rest so
	b.claim(policy{imports: "math", mem: 64 << 20})
	var size, written int
	// 96 KiB, but for the pages that other things begin or end on, and one in which an entry may be in use again.
	await.That(t, "the cell rests", func() bool {
		size, written = lent(t)
		return 64 <= size && size < whole
	})
	if written > 8 {
		t.Errorf("%d KiB are lent, of which %d are written to", size, written)
	}
	said, fault := b.run("class A:\n    def f(self): return 1\npost(sum(A().f() for _ in range(100)))\npost(' a '.strip())")
	if fault != "" || strings.Join(said, " ") != `100 "a"` {
		t.Errorf("a program behind it: %q, %s", said, fault)
	}
	if _, used := lent(t); used <= written {
		t.Error("the program used none of the cache: something else is lent")
	}
	b.thread.Kill()
	<-b.thread.Done()
	if left, _ := lent(t); left != 0 {
		t.Errorf("%d KiB are left of a cell that has ended", left)
	}
}

// Names that nothing but the cache of attribute lookups has any more are freed when a cell rests, and with the last of
// them what they were in.
func TestRestFreesWhatTheCacheKept(t *testing.T) {
	b := startUnclaimed(t)
	whole, _ := lent(t) // one that waits in a pool does not rest so
	b.claim(policy{imports: "math", mem: 64 << 20})
	said, fault := b.run(`
def fill():
    held = []
    for i in range(4):
        held += [bytes(470) for _ in range(5_000)]
        for j in range(1_000): getattr(held, f'{i}{j:090}', None)
fill()
post(1)`)
	if fault != "" || len(said) != 1 {
		t.Fatalf("%q, %s", said, fault)
	}
	await.That(t, "the cell rests", func() bool {
		size, _ := lent(t)
		return 0 < size && size < whole
	})
	if said, fault := b.run("post(2)"); fault != "" || len(said) != 1 {
		t.Errorf("a program behind it: %q, %s", said, fault)
	}
}

// BenchmarkFirstAfterRest is the first program of a cell after its first rest, which took what that uses again, too.
func BenchmarkFirstAfterRest(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := start(b, policy{imports: "math", mem: 64 << 20})
		pause.For(b.Context(), 20*time.Millisecond)
		b.StartTimer()
		if _, fault := c.run("class A:\n    def f(self): return 1\npost(sum(A().f() for _ in range(10)))"); fault != "" {
			b.Fatal(fault)
		}
		b.StopTimer()
		c.thread.Kill()
		<-c.thread.Done()
		b.StartTimer()
	}
}
