package cpython_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/cell/cpython"
	"github.com/pyisolate/pyisolate/cell/ring"
)

// rss is the resident memory of this process in KiB.
func rss(tb testing.TB) int {
	tb.Helper()
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
	tb.Fatal("no VmRSS in /proc/self/status")
	return 0
}

// Interpreters come and go without leaving memory behind.
func TestSpawnAndKillLeakNothing(t *testing.T) {
	rt, err := load()
	if err != nil {
		t.Fatal(err)
	}
	// malloc has an arena for every few threads, and until each has seen its share of
	// interpreters its high-water marks rise.
	settle, cycles, slack := 6000, 10_000, 0
	if testing.Short() {
		settle, cycles, slack = 200, 300, 4<<10
	}
	spawnAndKill(t, rt, settle)
	// A leak grows in every round; a high-water mark that a busy machine had not reached
	// before is reached in one of them.
	for round := range 3 {
		before := rss(t)
		spawnAndKill(t, rt, cycles)
		after := rss(t)
		t.Logf("round %d, %d cycles after %d: %d KiB before, %d KiB after", round, cycles, settle, before, after)
		if after <= before+before/20+slack {
			return
		}
	}
	t.Error("resident memory grows in every round")
}

func spawnAndKill(t *testing.T, rt *cpython.Runtime, cycles int) {
	t.Helper()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range cycles / 4 {
				if !oneCycle(t, rt) {
					return
				}
			}
		})
	}
	all.Wait()
}

func oneCycle(t *testing.T, rt *cpython.Runtime) bool {
	region, err := ring.New(ring.Options{})
	if err != nil {
		t.Error(err)
		return false
	}
	th, err := rt.Start(region)
	if err != nil {
		t.Error(err)
		return false
	}
	if f, err := region.Recv(); err != nil || f.Kind != ring.OutReady {
		t.Errorf("first frame %v, %v", f, err)
		return false
	}
	th.Kill()
	<-th.Done()
	if err := region.Free(); err != nil {
		t.Error(err)
	}
	return true
}
