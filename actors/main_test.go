package actors

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon bounds a test.
func soon(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// quick is a cell without a Python: how real ones behave here is for system_test. Exec and
// Call do what their field says, by default nothing.
type quick struct {
	id   string
	exec func(ctx context.Context, code string) error
	send func(v cell.Value) error
	// reload, when not nil, is waited for.
	reload <-chan struct{}
	// inspect, when not nil, is waited for, whatever the context says.
	inspect <-chan struct{}

	mu    sync.Mutex
	inbox []string

	outbox []cell.Item
	ran    []string
	why    error
	once   sync.Once
	done   chan struct{}
}

var _ cell.Cell = (*quick)(nil)

func (q *quick) Snapshot(context.Context, func([]byte) error) (cell.Snapshot, error) {
	return cell.Snapshot{}, cell.Errorf(cell.NotCheckpointable, "%s has no state", q.id)
}
func (q *quick) Thaw(context.Context) error               { return nil }
func (q *quick) Restore(context.Context, io.Reader) error { return nil }

func newQuick(id string) *quick { return &quick{id: id, done: make(chan struct{})} }

func (q *quick) ID() string      { return q.id }
func (q *quick) Spec() cell.Spec { return cell.Spec{} }

func (q *quick) gone() error {
	select {
	case <-q.done:
		return cell.Errorf(cell.CellGone, "%s is gone", q.id)
	default:
		return nil
	}
}

func (q *quick) Exec(ctx context.Context, src cell.Source) error {
	if err := q.gone(); err != nil {
		return err
	}
	q.mu.Lock()
	q.ran = append(q.ran, string(src.Code))
	q.mu.Unlock()
	if q.exec == nil {
		return nil
	}
	return q.exec(ctx, string(src.Code))
}

func (q *quick) Call(ctx context.Context, inv cell.Invocation) (cell.Value, error) {
	return cell.BytesValue(inv.Raw), q.Exec(ctx, cell.Source{Code: []byte(inv.Target)})
}

func (q *quick) Send(_ context.Context, v cell.Value) error {
	if err := q.gone(); err != nil {
		return err
	}
	if q.send != nil {
		if err := q.send(v); err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inbox = append(q.inbox, string(v.Data))
	return nil
}

func (q *quick) Recv(ctx context.Context) (cell.Item, error) {
	if len(q.outbox) > 0 {
		item := q.outbox[0]
		q.outbox = q.outbox[1:]
		return item, nil
	}
	select {
	case <-q.done:
		return cell.Item{}, q.gone()
	case <-ctx.Done():
		kind := cell.Timeout
		if errors.Is(ctx.Err(), context.Canceled) {
			kind = cell.Cancelled
		}
		return cell.Item{}, cell.Errorf(kind, "nothing came")
	}
}

func (q *quick) Inspect(context.Context) (cell.Report, error) {
	if q.inspect != nil {
		<-q.inspect
	}
	return cell.Report{ID: q.id}, nil
}

func (q *quick) Reload(context.Context, cell.Revision) (cell.Reloaded, error) {
	if q.reload != nil {
		<-q.reload
	}
	return cell.Reloaded{}, q.gone()
}
func (q *quick) Quarantine(context.Context, string) error { return q.gone() }
func (q *quick) Kill(reason string)                       { q.finish(errors.New(reason)) }
func (q *quick) Close(context.Context) error              { q.finish(nil); return nil }
func (q *quick) Done() <-chan struct{}                    { return q.done }
func (q *quick) Err() error                               { return q.why }

func (q *quick) finish(why error) {
	q.once.Do(func() {
		q.why = why
		close(q.done)
	})
}

func (q *quick) got() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]string(nil), q.inbox...)
}

// started makes plans and keeps the cells that were started by them.
type started struct {
	mu    sync.Mutex
	cells []*quick
	fail  error // of what is started next
	setUp func(*quick)
}

func (s *started) plan() Plan {
	return Plan{Start: func(_ context.Context, epoch uint64) (cell.Cell, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fail != nil {
			return nil, s.fail
		}
		q := newQuick("incarnation")
		if s.setUp != nil {
			s.setUp(q)
		}
		s.cells = append(s.cells, q)
		return q, nil
	}}
}

// last is the incarnation that runs.
func (s *started) last() *quick {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[len(s.cells)-1]
}

func (s *started) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// events are what a system tells of its cells.
type events chan Event

func (e events) await(tb testing.TB, k EventKind) Event {
	tb.Helper()
	for ctx := soon(tb); ; {
		select {
		case got := <-e:
			if got.Kind == k {
				return got
			}
		case <-ctx.Done():
			tb.Fatalf("no cell is %s", k)
		}
	}
}

func newSystem(tb testing.TB, o Options) (*System, events) {
	tb.Helper()
	e := make(events, 1000)
	o.Events = func(event Event) { e <- event }
	s := New(o)
	tb.Cleanup(func() {
		if err := s.Close(soon(tb)); err != nil {
			tb.Error(err)
		}
	})
	return s, e
}

var worker = Address{"acme", "worker"}

func spawn(tb testing.TB, s *System, a Address, p Plan) {
	tb.Helper()
	if err := s.Spawn(soon(tb), a, p); err != nil {
		tb.Fatal(err)
	}
}

func exec(a Address, code string) Envelope {
	return Envelope{To: a, Body: Exec{cell.Source{Code: []byte(code)}}}
}

func post(a Address, text string) Envelope {
	return Envelope{To: a, Body: Post{cell.BytesValue([]byte(text))}}
}
