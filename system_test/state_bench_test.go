package systemtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// States of about 10 MiB, of the kinds that programs have.
var benchStates = []struct{ name, source string }{
	{"rows", "rows = [{'id': i, 'name': f'row {i}', 'score': i / 3, 'tags': ['a', 'b']} for i in range(190_000)]"},
	{"text", "words = {f'word {i}': [f'next {j}' for j in range(i, i + 8)] for i in range(62_000)}"},
	{"objects", "class P:\n    def __init__(self, i):\n        self.i, self.name, self.at = i, f'p{i}', (i, i)\nps = [P(i) for i in range(220_000)]"},
	{"blob", "blob = bytes(range(256)) * 40_960"},
	{"functions", manyFunctions},
	{"nothing", "x = 1"},
}

// manyFunctions are a guest's, of which each, and its code, is a piece of its state.
var manyFunctions = func() string {
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, "def f%d(x):\n    return x + %d, %q\n", i, i, strings.Repeat("x", i*i%5000))
	}
	return b.String()
}()

func benchStatesOf(b *testing.B, run func(b *testing.B, l *launch.Launcher, spec cell.Spec, source string)) {
	for _, backend := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		l := newLauncher(b, launch.Config{})
		spec := cell.Spec{Backend: backend, Imports: []string{"*"}, Limits: cell.Limits{Memory: 1 << 30}}
		for _, s := range benchStates {
			b.Run(string(backend)+"/"+s.name, func(b *testing.B) { run(b, l, spec, s.source) })
		}
	}
}

// cellCPU reports what each operation takes of a processor in the cell, from now on: the clock
// says how busy the machine is, too.
func cellCPU(b *testing.B, c cell.Cell) func() {
	before := report(b, c).CPU
	return func() {
		used := report(b, c).CPU - before
		b.ReportMetric(float64(used.Microseconds())/1e3/float64(b.N), "cpu-ms/op")
	}
}

func BenchmarkSnapshot(b *testing.B) {
	benchStatesOf(b, func(b *testing.B, l *launch.Launcher, spec cell.Spec, src string) {
		c := spawn(b, l, spec)
		posts(b, c, src)
		defer cellCPU(b, c)()
		for b.Loop() {
			s, err := c.Snapshot(b.Context(), func([]byte) error { return nil })
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(s.Size)
			if err := c.Thaw(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRestore(b *testing.B) {
	benchStatesOf(b, func(b *testing.B, l *launch.Launcher, spec cell.Spec, src string) {
		c := spawn(b, l, spec)
		posts(b, c, src)
		state, _ := stateOf(b, c)
		_ = c.Close(b.Context())
		b.SetBytes(int64(len(state)))
		for b.Loop() {
			b.StopTimer()
			c := spawn(b, l, spec)
			b.StartTimer()
			if err := c.Restore(b.Context(), bytes.NewReader(state)); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			_ = c.Close(b.Context())
			b.StartTimer()
		}
	})
}

// What the same states cost with pickle alone, in the same cell: no transport, and nothing by
// value.
func BenchmarkPickle(b *testing.B) {
	benchStatesOf(b, func(b *testing.B, l *launch.Launcher, spec cell.Spec, src string) {
		c := spawn(b, l, spec)
		posts(b, c, src+"\nimport pickle, gc\ngc.disable()\n"+
			"def dump():\n    return len(pickle.dumps([v for k, v in globals().items() if k in ('rows', 'words', 'ps', 'blob', 'x')], 5))")
		defer cellCPU(b, c)()
		for b.Loop() {
			if _, err := c.Call(b.Context(), cell.Invocation{Target: "dump"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
