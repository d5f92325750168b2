package hostile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/enforce"
)

// TestHostile runs every probe in every column.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute of attacks")
	}
	kernel := openKernel(t)
	p := choose(kernel.Facts())
	m := newMatrix(p)
	for _, c := range p.columns {
		t.Run(c.String(), func(t *testing.T) {
			if want, has := guards[c.stack], kernel.Facts().Layer; want != "" && want != has {
				m.lacks = append(m.lacks, string(want))
				t.Skipf("the programs here are of kind %q: %v", has, kernel.Refused())
			}
			runColumn(t, c, m, kernel)
		})
	}
	m.compare(t)
}

// openKernel has the strongest programs that load.
func openKernel(t *testing.T) *enforce.Enforcer {
	t.Helper()
	kernel, err := enforce.Open(t.Context(), true)
	must(t, err)
	t.Cleanup(func() {
		if err := kernel.Close(); err != nil {
			t.Error(err)
		}
	})
	return kernel
}

type job struct {
	family family
	probe  probe
}

func runColumn(t *testing.T, c column, m *matrix, kernel *enforce.Enforcer) {
	l := c.launcher(t, kernel, m.plan.patience())
	neighbour := spawn(t, l, cell.Spec{Backend: c.backend, Tenant: "neighbour"})
	must(t, m.found(t, c, neighbour))
	jobs := make(chan job)
	var group sync.WaitGroup
	for i := range m.plan.workers() {
		w := newWorld(t, l, c, fmt.Sprintf("tenant%d", i), neighbour)
		group.Go(func() {
			for j := range jobs {
				t.Run(j.family.name+"/"+j.probe.name, func(t *testing.T) {
					in := w
					if j.probe.alone || j.probe.fatal {
						in = newWorld(t, l, c, "alone"+j.probe.name, neighbour)
					}
					m.set(j.family.name, j.probe.name, c, j.probe.run(t, j.family, in, m.plan.patience()))
				})
			}
		})
	}
	for _, f := range m.plan.families {
		for _, p := range f.probes {
			if m.plan.tries(p, c) {
				jobs <- job{f, p}
			}
		}
	}
	close(jobs)
	group.Wait()
}

// run tries the technique once and says what came of it.
func (p probe) run(t *testing.T, f family, w *world, patience time.Duration) string {
	c := w.column
	if p.only != "" && p.only != c.backend || p.refused && !c.filtered() {
		return untried
	}
	if p.limits.Wall == 0 {
		p.limits.Wall = longWall
	}
	p.limits.Wall *= patience
	canaries := newCanaries(t)
	said, err := p.attack(t, f, w, canaries)
	if errors.Is(err, errNoTracer) {
		t.Skip(err)
	}
	harm := canaries.harm(t, said)
	if !p.fatal {
		harm = append(harm, w.harm(t, said)...)
	}
	harm = append(harm, p.bounds(t, w)...)
	if errors.Is(err, errDone) {
		harm = append(harm, "the kernel did it")
	}
	w.heal()
	t.Logf("ends with %v; harm %q; said %.600q", err, harm, said)
	why, expected := p.passes(c)
	switch {
	case len(harm) > 0 && !expected:
		t.Errorf("gets through: %q", harm)
	case len(harm) == 0 && expected:
		t.Errorf("is held, although %s", why.why)
	}
	switch {
	case len(harm) > 0:
		return through
	case isLimit(err):
		return limited
	}
	return held
}

// longWall is for what ends by itself.
const longWall = 15 * time.Second

func (p probe) attack(t *testing.T, f family, w *world, c *canaries) (said []byte, err error) {
	e := &ear{}
	imports := p.imports
	if imports == nil {
		imports = []string{"*"}
	}
	first := p.limits // whatever ends the probe, the prelude has its time
	first.Wall = max(first.Wall, longWall)
	guest := spawn(t, w.l, cell.Spec{Backend: w.column.backend, Tenant: w.tenant, Imports: imports, Limits: first, Sink: e})
	must(t, guest.Exec(soon(t), cell.Source{Code: []byte(c.prelude(w)), File: "prelude.py"}))
	if first != p.limits {
		_, err := guest.Reload(soon(t), cell.Revision{Limits: &p.limits})
		must(t, err)
	}
	var left []byte
	if p.calls != nil {
		left, err = p.corrupt(t, guest, c)
	} else {
		code, readErr := os.ReadFile(filepath.Join("testdata", f.name, p.name+".py"))
		must(t, readErr)
		err = guest.Exec(soon(t), cell.Source{Code: code, File: p.name + ".py"})
		p.isSound(t, err)
	}
	return slices.Concat(left, drain(t, guest), []byte(e.text()), traceback(err)), err
}

// answered is an answer that is no error.
var answered = regexp.MustCompile(`\b\d+; `)

// corrupt makes the calls on the guest's thread, or on another of its process.
func (p probe) corrupt(t *testing.T, guest cell.Cell, c *canaries) ([]byte, error) {
	comm := filepath.Base(c.dir)
	must(t, guest.Exec(soon(t), cell.Source{Code: fmt.Appendf(nil, "import threading\nthreading.current_thread().name = %q[:15]", comm)}))
	tid := thread(t, comm[:min(15, len(comm))], guest.Spec().Backend, p.elsewhere)
	if tid == 0 {
		t.Fatal("the thread is not found")
	}
	answers, left, err := inject(tid, p.calls, c)
	t.Logf("the kernel answers: %s %v", answers, err)
	if errors.Is(err, errKilled) {
		<-guest.Done()
		return left, err
	}
	if err != nil && !errors.Is(err, errNoTracer) {
		t.Errorf("inject: %v", err)
	}
	if p.refused && err == nil && answered.Match(answers) {
		err = errDone
	}
	return left, err
}

// drain ends the cell and returns what it had posted, its last words included.
func drain(t *testing.T, c cell.Cell) (out []byte) {
	t.Helper()
	_ = c.Close(soon(t))
	for {
		item, err := c.Recv(soon(t))
		if err != nil {
			return out
		}
		out = append(append(out, item.Value.Data...), '\n')
	}
}

// isSound fails a probe that ends because it is wrong, and so shows nothing.
func (p probe) isSound(t *testing.T, err error) {
	t.Helper()
	var e *cell.Error
	if !errors.As(err, &e) || e.Type == p.ends && p.ends != "" {
		return
	}
	switch e.Type {
	case "NameError", "SyntaxError", "IndentationError", "TypeError", "KeyError", "UnboundLocalError", "IndexError":
		t.Errorf("the probe is wrong: %v\n%s", err, e.Traceback)
	}
}

func isLimit(err error) bool {
	for _, k := range []cell.Kind{cell.Timeout, cell.MemoryExceeded, cell.CPUExceeded, cell.OutputExceeded, cell.ChildWorkExceeded} {
		if errors.Is(err, k) {
			return true
		}
	}
	var e *cell.Error
	return errors.As(err, &e) && (e.Type == "MemoryError" || e.Type == "RecursionError")
}

func traceback(err error) []byte {
	var e *cell.Error
	if errors.As(err, &e) {
		return []byte(e.Message + e.Traceback)
	}
	return nil
}
