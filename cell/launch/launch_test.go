package launch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/host/hosttest"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
)

// The test binary is its own host: real processes, fake Python.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "host" {
		fake := func(host.Dist) (host.Executor, error) { return new(hosttest.Executor), nil }
		os.Exit(host.Main(host.Options{Threads: fake,
			Processes: func(d host.Dist, _ uint64) (host.Executor, error) { return fake(d) }}))
	}
	if len(os.Args) == 2 && os.Args[1] == "broken" {
		fmt.Fprintln(os.Stderr, "no python here")
		os.Exit(3)
	}
	goleak.VerifyTestMain(m)
}

// patient is a grace for guests and hosts that are to obey, on a machine that is busy with others.
const patient = 20 * time.Second

func launcher(t testing.TB, c launch.Config) *launch.Launcher {
	t.Helper()
	if c.KillGrace == 0 {
		c.KillGrace = patient
	}
	l, err := launch.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return l
}

func spawn(t testing.TB, l *launch.Launcher, s cell.Spec) cell.Cell {
	t.Helper()
	c, err := l.Spawn(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func run(c cell.Cell, code string) error {
	return c.Exec(context.Background(), cell.Source{Code: []byte(code)})
}

// received takes n items and renders them.
func received(t testing.TB, c cell.Cell, n int) string {
	t.Helper()
	var out []string
	for range n {
		i, err := c.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i.Err != nil {
			out = append(out, i.Err.Kind.String())
		} else {
			out = append(out, i.Value.String())
		}
	}
	return strings.Join(out, " ")
}

type sink struct {
	mu     sync.Mutex
	heard  []string
	answer func(ctx context.Context, r cell.Request) (cell.Value, error)
}

func (s *sink) hear(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, fmt.Sprintf(format, args...))
}

func (s *sink) Log(r cell.LogRecord) { s.hear("%s %s", r.Level, r.Message) }
func (s *sink) Metric(m cell.Sample) { s.hear("%s %v", m.Name, m.Value) }
func (s *sink) Denied(d cell.Denial) { s.hear("denied %s %s", d.Capability, d.Action) }
func (s *sink) Request(ctx context.Context, r cell.Request) (cell.Value, error) {
	return s.answer(ctx, r)
}

func TestExecCallSendRecv(t *testing.T) {
	for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		t.Run(b.String(), func(t *testing.T) {
			l := launcher(t, launch.Config{})
			s := &sink{answer: func(_ context.Context, r cell.Request) (cell.Value, error) {
				return cell.JSONValue(r.Capability + "/" + r.Action)
			}}
			c := spawn(t, l, cell.Spec{Backend: b, Sink: s})
			if err := c.Send(t.Context(), cell.BytesValue([]byte("in"))); err != nil {
				t.Fatal(err)
			}
			if err := run(c, "post 1\nrecv -1\nlog hi\ndeny fs write\nrequest net open"); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.heard, ","); got != "info hi,denied fs write" {
				t.Errorf("the sink heard %q", got)
			}
			if err := run(c, "post 2\nraise no"); !errors.Is(err, cell.GuestError) {
				t.Errorf("exec: %v", err)
			}
			if got := received(t, c, 5); got != `1 "in" "net/open" 2 GuestError` {
				t.Errorf("received %s", got)
			}
			v, err := c.Call(t.Context(), cell.Invocation{Target: "f", Args: []byte(`[1]`)})
			if err != nil || v.String() != "[1]" {
				t.Errorf("call: %v %v", v, err)
			}
			r, err := c.Inspect(t.Context())
			if err != nil || r.State != cell.Running || r.Posts != 4 || r.HostPID == 0 || r.Name == "" || r.Tenant != "default" {
				t.Errorf("report %+v, %v", r, err)
			}
		})
	}
}

func TestDeadlineAndCancel(t *testing.T) {
	l := launcher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Exec(ctx, cell.Source{Code: []byte("spin")}); !errors.Is(err, cell.Timeout) {
		t.Errorf("deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		for { // cancel once the guest is in it
			if i, err := c.Recv(context.Background()); err != nil || i.Err == nil {
				cancel()
				return
			}
		}
	}()
	if err := c.Exec(ctx, cell.Source{Code: []byte("post 1\nspin")}); !errors.Is(err, cell.Cancelled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := run(c, ""); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestRequestEndsWithItsOperation(t *testing.T) {
	l := launcher(t, launch.Config{})
	ended := make(chan error, 1)
	begun := make(chan struct{})
	c := spawn(t, l, cell.Spec{Sink: &sink{answer: func(ctx context.Context, _ cell.Request) (cell.Value, error) {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return cell.Null(), nil
	}}})
	go func() { <-begun; c.Kill("enough") }()
	if err := run(c, "request a b"); !errors.Is(err, cell.CellGone) {
		t.Errorf("exec: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the request's context: %v", err)
	}
}

func TestNoSinkDeniesRequests(t *testing.T) {
	l := launcher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{})
	if err := run(c, "request a b"); !errors.Is(err, cell.PolicyDenied) {
		t.Errorf("got %v", err)
	}
}

func TestHostCrash(t *testing.T) {
	l := launcher(t, launch.Config{BackoffFirst: 30 * time.Millisecond})
	a, b := spawn(t, l, cell.Spec{Name: "a"}), spawn(t, l, cell.Spec{Name: "b"})
	other := spawn(t, l, cell.Spec{Tenant: "other"})
	if err := run(a, "post 1"); err != nil {
		t.Fatal(err)
	}
	err := run(a, "crash")
	if !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "host process died: exit status 9") {
		t.Errorf("the offender: %v", err)
	}
	<-b.Done()
	if !errors.Is(b.Err(), cell.CellGone) {
		t.Errorf("its neighbour: %v", b.Err())
	}
	if got := received(t, a, 2); got != "1 CellGone" {
		t.Errorf("received %s", got)
	}
	if _, err := a.Recv(t.Context()); !errors.Is(err, cell.CellGone) {
		t.Errorf("drained: %v", err)
	}
	if err := run(other, ""); err != nil {
		t.Errorf("the other tenant: %v", err)
	}
	crashed := time.Now()
	again := spawn(t, l, cell.Spec{Name: "a"})
	if waited := time.Since(crashed); waited > 10*time.Second {
		t.Errorf("the host took %s to come back", waited)
	}
	if err := run(again, ""); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	if s := l.Stats(); s.Restarts != 1 || s.Hosts != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestHostKilledFromOutside(t *testing.T) {
	l := launcher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{})
	r, err := c.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(r.HostPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if r, err = c.Inspect(t.Context()); err != nil || r.State != cell.Crashed || !strings.Contains(r.Reason, "killed") {
		t.Errorf("report %+v, %v", r, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// wedged has a guest do what nobody can end, and gives it up when it is in it.
func wedged(t *testing.T, c cell.Cell) {
	t.Helper()
	ctx, withdraw := context.WithCancel(t.Context())
	defer withdraw()
	ended := make(chan error, 1)
	go func() { ended <- c.Exec(ctx, cell.Source{Code: []byte("wedge")}) }()
	await.That(t, "the guest is in it", func() bool {
		r, err := c.Inspect(t.Context())
		return err == nil && r.CPU > 0
	})
	withdraw()
	if err := <-ended; !errors.Is(err, cell.Cancelled) {
		t.Errorf("exec: %v", err)
	}
}

func TestRetiringHostIsReplaced(t *testing.T) {
	l := launcher(t, launch.Config{KillGrace: 50 * time.Millisecond, RetireGrace: 300 * time.Millisecond})
	c := spawn(t, l, cell.Spec{})
	before, err := c.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wedged(t, c)
	if err := c.Close(t.Context()); err != nil { // back is closed after Retiring was said
		t.Fatal(err)
	}
	after, err := spawn(t, l, cell.Spec{}).Inspect(t.Context())
	if err != nil || after.HostPID == before.HostPID {
		t.Errorf("the new cell is in process %d, the old was in %d: %v", after.HostPID, before.HostPID, err)
	}
}

// A host that is stopped answers nothing: its node must not wait for ever.
func TestSilentHostIsKilled(t *testing.T) {
	var heard changes
	l := launcher(t, launch.Config{KillGrace: 50 * time.Millisecond, AnswerGrace: 100 * time.Millisecond, Hosts: heard.hear})
	c := spawn(t, l, cell.Spec{})
	stop(t, heard.pid())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // it is to be over when the question has left
	defer cancel()
	if err := c.Exec(ctx, cell.Source{}); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("got %v", err)
	}
}

func TestBrokenHostSaysWhy(t *testing.T) {
	l := launcher(t, launch.Config{Executable: []string{"/proc/self/exe", "broken"}})
	for range 2 {
		_, err := l.Spawn(t.Context(), cell.Spec{})
		if err == nil || !strings.Contains(err.Error(), "no python here") {
			t.Errorf("got %v", err)
		}
	}
	if s := l.Stats(); s.Cells != 0 || s.Hosts != 0 || s.Restarts != 1 {
		t.Errorf("stats %+v", s)
	}
}

// A host that does not become ready is ended, and that is what is said of it: not that it was killed.
func TestHostThatIsNeverReadySaysWhy(t *testing.T) {
	l := launcher(t, launch.Config{Executable: []string{"/bin/sleep", "600"}, StartTimeout: time.Millisecond, AnswerGrace: time.Minute})
	if _, err := l.Spawn(t.Context(), cell.Spec{}); err == nil || !strings.Contains(err.Error(), "did not become ready in time") {
		t.Errorf("got %v", err)
	}
}

func TestNamesAreUniquePerTenant(t *testing.T) {
	l := launcher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{Name: "x"})
	if _, err := l.Spawn(t.Context(), cell.Spec{Name: "x"}); !errors.Is(err, cell.Invalid) {
		t.Errorf("second x: %v", err)
	}
	spawn(t, l, cell.Spec{Name: "x", Tenant: "other"})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	spawn(t, l, cell.Spec{Name: "x"})
}

func TestEnds(t *testing.T) {
	l := launcher(t, launch.Config{})
	t.Run("close is idempotent", func(t *testing.T) {
		c := spawn(t, l, cell.Spec{})
		for range 3 {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := c.Err(); err != nil {
			t.Errorf("Err after Close: %v", err)
		}
		if err := run(c, ""); !errors.Is(err, cell.CellGone) {
			t.Errorf("exec after Close: %v", err)
		}
	})
	t.Run("close while busy", func(t *testing.T) {
		c := spawn(t, l, cell.Spec{})
		failed := make(chan error)
		go func() { failed <- run(c, "post 1\nspin") }()
		received(t, c, 1)
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, cell.CellGone) {
			t.Errorf("the operation: %v", err)
		}
	})
	t.Run("kill", func(t *testing.T) {
		c := spawn(t, l, cell.Spec{})
		c.Kill("enough")
		<-c.Done()
		if err := c.Err(); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "enough") {
			t.Errorf("Err: %v", err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if r, err := c.Inspect(t.Context()); err != nil || r.State != cell.Killed {
			t.Errorf("report %+v, %v", r, err)
		}
	})
	t.Run("quarantine", func(t *testing.T) {
		c := spawn(t, l, cell.Spec{})
		if err := c.Quarantine(t.Context(), "odd"); err != nil {
			t.Fatal(err)
		}
		if err := run(c, ""); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "odd") {
			t.Errorf("exec: %v", err)
		}
		if r, err := c.Inspect(t.Context()); err != nil || r.State != cell.Quarantined {
			t.Errorf("report %+v, %v", r, err)
		}
	})
}

func TestFloodIsHeldBackAndArrivesWhole(t *testing.T) {
	l := launcher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{Limits: cell.Limits{QueueItems: 8}})
	failed := make(chan error, 1)
	go func() { failed <- run(c, "flood 5000") }()
	for i := range 5000 {
		if got := received(t, c, 1); got != fmt.Sprint(i) {
			t.Fatalf("item %d is %s", i, got)
		}
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestSpareHostsAreTaken(t *testing.T) {
	l := launcher(t, launch.Config{MaxHostsSpare: 1})
	for i := range 3 {
		if err := run(spawn(t, l, cell.Spec{Tenant: fmt.Sprint("t", i)}), ""); err != nil {
			t.Error(err)
		}
	}
}

func TestConcurrentSpawnExecClose(t *testing.T) {
	l := launcher(t, launch.Config{PoolSize: 8})
	each := 200
	if testing.Short() {
		each = 20
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for range each {
				c, err := l.Spawn(context.Background(), cell.Spec{Tenant: fmt.Sprint("t", w%2)})
				if err != nil {
					t.Error(err)
					return
				}
				if err := run(c, "post 1"); err != nil {
					t.Error(err)
				}
				if err := c.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s := l.Stats(); s.Cells != 0 || s.PoolHits+s.PoolMisses != uint64(8*each) {
		t.Errorf("stats %+v", s)
	}
}

func BenchmarkSpawnExec(b *testing.B) {
	l := launcher(b, launch.Config{PoolSize: 8})
	for b.Loop() {
		c, err := l.Spawn(context.Background(), cell.Spec{})
		if err != nil {
			b.Fatal(err)
		}
		if err := run(c, ""); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = c.Close(context.Background())
		b.StartTimer()
	}
}

func BenchmarkCall1k(b *testing.B) {
	c := spawn(b, launcher(b, launch.Config{}), cell.Spec{})
	inv := cell.Invocation{Target: "f", Raw: make([]byte, 1024)}
	for b.Loop() {
		if _, err := c.Call(context.Background(), inv); err != nil {
			b.Fatal(err)
		}
	}
}
