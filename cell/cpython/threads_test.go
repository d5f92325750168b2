package cpython_test

import (
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/internal/await"
)

// Stacks are mappings, too: where cells have taken those that they may have together, no thread begins.
func TestStacksAreMappingsOfAllCells(t *testing.T) {
	const begin = `import threading
end = threading.Event()
threads = [threading.Thread(target=end.wait) for _ in range(2)]
try:
    for t in threads: t.start()
    post('began')
except RuntimeError as e: post(str(e))`
	threads := start(t, policy{imports: "threading", mem: 64 << 20, children: 8})
	var full []*bare
	for len(full) < 33 {
		b, _ := maps(t)
		full = append(full, b)
	}
	if said, fault := threads.run(begin); fault != "" || strings.Join(said, " ") != `"can't start new thread"` {
		t.Errorf("where no mapping is left: %q %s", said, fault)
	}
	if said, fault := full[0].run("del kept[:4]\npost(len(kept))"); fault != "" || len(said) != 1 {
		t.Fatalf("some are given back: %q %s", said, fault)
	}
	if said, fault := threads.run(begin + "\nend.set()\nfor t in threads: t.join()"); fault != "" || strings.Join(said, " ") != `"began"` {
		t.Errorf("where some are: %q %s", said, fault)
	}
}

// What threads had is there for others when they have ended.
func TestEndedThreadsLeaveTheirMappings(t *testing.T) {
	b := start(t, policy{imports: "threading", mem: 64 << 20, children: 1})
	said, fault := b.run(`import threading
for _ in range(10_000):
    t = threading.Thread(target=int)
    t.start()
    t.join()
post(1)`)
	if fault != "" || len(said) != 1 {
		t.Errorf("%q %s", said, fault)
	}
}

// Threads that a C library starts count as a guest's own, and so does their processor time.
func TestThreadsOfLibrariesCount(t *testing.T) {
	const compress = `from compression import zstd
def workers(n): return zstd.ZstdCompressor(options={zstd.CompressionParameter.nb_workers: n, zstd.CompressionParameter.compression_level: 1})
def compress(c): return len(c.compress(bytes(4 << 20)) + c.flush())
`
	b := start(t, policy{imports: "compression,_zstd,threading", mem: 64 << 20, children: 2})
	if said, fault := b.run(compress + `
try: post(compress(workers(3)))
except zstd.ZstdError: post('refused')`); fault != "" || strings.Join(said, " ") != `"refused"` {
		t.Errorf("more than the limit: %q %s", said, fault)
	}
	if said, fault := b.run("c = workers(2)\npost(compress(c) > 0)"); fault != "" || strings.Join(said, " ") != "true" {
		t.Errorf("as many as the limit: %q %s", said, fault)
	}
	if n := len(b.region.Threads()); n != 3 {
		t.Errorf("the host knows %d threads, want 3", n)
	}
	if _, fault := b.run("import threading\nthreading.Thread(target=int).start()"); !strings.Contains(fault, "ChildWorkExceeded") {
		t.Errorf("one of Python's beside them: %s", fault)
	}
	if said, fault := b.run("del c\nt = threading.Thread(target=int)\nt.start()\nt.join()\npost(1)"); fault != "" || len(said) != 1 {
		t.Errorf("when they have ended: %q %s", said, fault)
	}
	await.That(t, "the host hears of their end", func() bool { return len(b.region.Threads()) == 1 })
}
