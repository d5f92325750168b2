package cpython_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell/ring"
)

// A process that has no mapping left dies: no guest takes them all, by mapping little or by splitting what it has.
func TestMappingsAreBounded(t *testing.T) {
	b := start(t, policy{imports: "mmap", mem: 128 << 20})
	said, fault := b.run(`import mmap
parts, kept = mmap.mmap(-1, 32 << 20), []
for at in range(0, len(parts), 8192): parts.madvise(mmap.MADV_RANDOM, at, 4096)
try:
    while len(kept) < 10_000: kept.append(mmap.mmap(-1, 1))
except OSError: pass
post(len(kept))`)
	if fault != "" || strings.Join(said, " ") != "511" {
		t.Errorf("mappings: %q %s", said, fault)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if n := bytes.Count(maps, []byte("\n")); err != nil || n > 3000 {
		t.Errorf("the process has %d mappings, %v", n, err)
	}
	if said, fault := b.run("kept.clear()\nkept.append(mmap.mmap(-1, 1))\npost(len(kept))"); fault != "" || len(said) != 1 {
		t.Errorf("one after they have gone: %q %s", said, fault)
	}
	const pages = "kept += [mmap.mmap(-1, 64 << 10) for _ in range(8)]\nfor m in kept: m.close()\nparts.close()\npost(1)"
	if said, fault := b.run(pages); fault != "" || len(said) != 1 {
		t.Errorf("some that are closed: %q %s", said, fault)
	}
	if used := b.region.Account(); used.MemUsed < 0 {
		t.Errorf("more is given back than was taken: %+v", used)
	}
}

// maps starts a cell that maps as much as it may, and returns how many mappings it has, in kept.
func maps(t *testing.T) (b *bare, mappings int) {
	t.Helper()
	b = start(t, policy{imports: "mmap", mem: 16 << 20})
	said, fault := b.run(`import mmap
kept = []
try:
    while True: kept.append(mmap.mmap(-1, 1))
except OSError: pass
post(len(kept))`)
	if fault != "" || len(said) != 1 {
		t.Fatalf("mappings: %q %s", said, fault)
	}
	n, err := strconv.Atoi(said[0])
	if err != nil {
		t.Fatal(err)
	}
	return b, n
}

// However many cells a process has, they leave it mappings.
func TestMappingsOfAllCellsAreBounded(t *testing.T) {
	const most, cells = 16 << 10, 40
	sum := 0
	for range cells {
		_, n := maps(t)
		sum += n
	}
	if sum != most {
		t.Errorf("%d cells have %d mappings, want %d", cells, sum, most)
	}
}

// Blocks between which others have gone are not mappings of their own: a guest with much memory would take them all.
func TestHolesAreNoMappings(t *testing.T) {
	b := start(t, policy{mem: 2 << 30})
	said, fault := b.run(`
kept = [None] * 8_000
for i in range(len(kept)): kept[i] = bytes(140_000)
for i in range(0, len(kept), 2): kept[i] = None
post(1)`)
	if fault != "" || len(said) != 1 {
		t.Fatalf("%q %s", said, fault)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if n := bytes.Count(maps, []byte("\n")); err != nil || n > 3000 {
		t.Errorf("the process has %d mappings, %v", n, err)
	}
}

// What is encoded and not yet sent counts: each thread of a guest may wait with as much as one value may have.
func TestWhatWaitsToBeSentCounts(t *testing.T) {
	const threads, size = 8, 900_000
	b := start(t, policy{imports: "threading,pyisolate_guest", mem: 64 << 20, children: threads})
	b.exec(fmt.Sprintf(`import threading, pyisolate_guest
value = ['x' * %d]
for _ in range(%d): threading.Thread(target=pyisolate_guest._c.request, args=('a', 'b', value)).start()`, size, threads), 0)
	for asked := 0; asked < threads; {
		switch f := b.next(); f.Kind {
		case ring.OutRequest:
			asked++
		case ring.OutResult:
		default:
			t.Fatalf("kind %d: %q", f.Kind, f.Payload)
		}
	}
	if used := b.region.Account().MemUsed; used < threads*size {
		t.Errorf("%d bytes count where %d wait", used, threads*size)
	}
}
