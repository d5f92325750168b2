package hostile

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// world is what lives around the cells that one tenant's probes run in, one after the
// other.
type world struct {
	t         *testing.T // whose end is the world's
	l         *launch.Launcher
	column    column
	tenant    string
	sibling   cell.Cell // of the same tenant
	token     string    // what the sibling knows
	report    cell.Report
	neighbour cell.Cell // of another tenant
	bystander *exec.Cmd
	till      io.Closer
	dead      chan struct{} // the bystander is
}

func newWorld(t *testing.T, l *launch.Launcher, c column, tenant string, neighbour cell.Cell) *world {
	t.Helper()
	w := &world{t: t, l: l, column: c, tenant: tenant, neighbour: neighbour, token: "sibling" + strings.ToLower(rand.Text())}
	w.sibling = spawn(t, l, cell.Spec{Backend: c.backend, Tenant: tenant})
	must(t, w.sibling.Exec(soon(t), cell.Source{Code: fmt.Appendf(nil, "VALUE = [%q]\ndef value(): return VALUE[0] + str(len('ab') + abs(-5) + (1).real)", w.token)}))
	var err error
	w.report, err = w.sibling.Inspect(soon(t))
	must(t, err)
	w.stand()
	return w
}

// stand starts the process that nobody may signal.
func (w *world) stand() {
	t := w.t
	w.bystander, w.dead = exec.Command("/proc/self/exe", "bystander"), make(chan struct{})
	in, err := w.bystander.StdinPipe()
	must(t, err)
	must(t, w.bystander.Start())
	w.till = in
	p, dead := w.bystander, w.dead
	go func() {
		defer close(dead)
		_ = p.Wait()
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-dead
	})
}

// harm says who of the others was hurt.
func (w *world) harm(t *testing.T, said []byte) (found []string) {
	t.Helper()
	if bytes.Contains(said, []byte(w.token)) {
		found = append(found, "a sibling's value is out")
	}
	v, err := w.sibling.Call(soon(t), cell.Invocation{Target: "value"})
	if err != nil || string(v.Data) != fmt.Sprintf("%q", w.token+"8") {
		found = append(found, fmt.Sprintf("the sibling answers %s, %v", v.Data, err))
	}
	if v, err = w.neighbour.Call(soon(t), cell.Invocation{Target: "abs", Args: []byte(`[-7]`)}); err != nil || string(v.Data) != "7" {
		found = append(found, fmt.Sprintf("another tenant's cell answers %s, %v", v.Data, err))
	}
	select {
	case <-w.dead:
		found = append(found, "a process of the machine is dead")
	default:
	}
	return found
}

// heal has somebody stand for the next probe.
func (w *world) heal() {
	select {
	case <-w.dead:
		w.stand()
	default:
	}
}

func spawn(t *testing.T, l *launch.Launcher, spec cell.Spec) cell.Cell {
	t.Helper()
	c, err := l.Spawn(soon(t), spec)
	if err != nil {
		t.Fatalf("spawn: %v", err)
	}
	t.Cleanup(func() { _ = c.Close(soon(t)) })
	return c
}

// ear hears all that a guest says beside its posts.
type ear struct {
	sync.Mutex
	said    bytes.Buffer
	refused []string
}

func (e *ear) Log(r cell.LogRecord) {
	e.Lock()
	defer e.Unlock()
	fmt.Fprintf(&e.said, "%s: %s %s\n", r.Level, r.Message, r.Fields)
}

func (e *ear) Metric(s cell.Sample) {
	e.Lock()
	defer e.Unlock()
	fmt.Fprintf(&e.said, "%s=%v %v\n", s.Name, s.Value, s.Tags)
}

func (e *ear) Denied(d cell.Denial) {
	e.Lock()
	defer e.Unlock()
	e.refused = append(e.refused, d.Capability+" "+d.Action)
}

// Request refuses all: no probe is granted an effect.
func (e *ear) Request(_ context.Context, r cell.Request) (cell.Value, error) {
	return cell.Value{}, cell.Errorf(cell.PolicyDenied, "%s is not granted", r.Capability)
}

// text is what it has heard so far.
func (e *ear) text() string {
	e.Lock()
	defer e.Unlock()
	return e.said.String()
}
