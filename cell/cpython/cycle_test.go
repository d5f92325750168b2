package cpython_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell/ring"
)

func rss(tb testing.TB) int {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

func TestCycles(t *testing.T) {
	rt, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 6 {
		t0 := time.Now()
		var spawn, end time.Duration
		for range 100 {
			region, err := ring.New(ring.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t1 := time.Now()
			th, err := rt.Start(region)
			if err != nil {
				t.Fatal(err)
			}
			if f, err := region.Recv(); err != nil || f.Kind != ring.OutReady {
				t.Fatal(f, err)
			}
			spawn += time.Since(t1)
			t1 = time.Now()
			th.Kill()
			<-th.Done()
			end += time.Since(t1)
			if err := region.Free(); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("round %d: %v spawn %v end %v rss %d KiB", round, time.Since(t0), spawn/100, end/100, rss(t))
	}
}
