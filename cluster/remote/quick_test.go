package remote

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
)

// quick is a cell without a Python: how real ones behave is not this package's affair.
type quick struct {
	node *node
	once sync.Once
	done chan struct{}
	why  error

	mu    sync.Mutex
	inbox []string
	ran   []string
}

var _ cell.Cell = (*quick)(nil)

func (*quick) ID() string      { return "quick" }
func (*quick) Spec() cell.Spec { return cell.Spec{} }

// Exec does a word: wait, until it is interrupted; sleep, a while; or fail.
func (q *quick) Exec(ctx context.Context, s cell.Source) error {
	q.mu.Lock()
	q.ran = append(q.ran, string(s.Code))
	q.mu.Unlock()
	switch string(s.Code) {
	case "wait":
		select {
		case <-ctx.Done():
			return cell.Errorf(cell.Timeout, "interrupted: %v", ctx.Err())
		case <-q.done:
			return cell.Errorf(cell.CellGone, "ended")
		}
	case "sleep":
		time.Sleep(300 * time.Millisecond) // it cannot be interrupted
	case "fail":
		return &cell.Error{Kind: cell.GuestError, Message: "no \xff luck", Type: "ValueError", Traceback: "line 1",
			Denial: &cell.Denial{Cell: "x", Action: "open"}}
	}
	return nil
}

// Call echoes, or tells of the node.
func (q *quick) Call(ctx context.Context, i cell.Invocation) (cell.Value, error) {
	switch target, argument, _ := strings.Cut(i.Target, " "); target {
	case "inbox", "ran":
		of := q.node.cell(argument)
		of.mu.Lock()
		defer of.mu.Unlock()
		return cell.JSONValue(map[string][]string{"inbox": of.inbox, "ran": of.ran}[target])
	case "dead":
		return cell.JSONValue(q.node.system.DeadLetters())
	case "stats":
		return cell.JSONValue(q.node.remote.Stats())
	case "send":
		r := q.node.system.Ask(ctx, actors.Envelope{To: actors.Address{Tenant: "acme", Name: argument}, Body: actors.Post{Value: cell.BytesValue(i.Raw)}})
		return cell.Null(), r.Err
	case "run":
		r := q.node.system.Ask(ctx, run(argument, string(i.Raw)))
		return cell.Null(), r.Err
	case "publish":
		p, err := q.node.system.Publish(ctx, "acme", argument, "", cell.BytesValue(i.Raw))
		if err != nil {
			return cell.Value{}, err
		}
		return cell.JSONValue(p.Delivered)
	case "echo":
		return cell.BytesValue(i.Raw), nil
	}
	return cell.JSONValue(map[string]json.RawMessage{"args": i.Args, "kwargs": i.Kwargs})
}

func (q *quick) Send(_ context.Context, v cell.Value) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(v.Data) > 100 { // a test of speed
		return nil
	}
	q.inbox = append(q.inbox, string(v.Data))
	return nil
}

func (q *quick) Recv(ctx context.Context) (cell.Item, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.inbox) == 0 {
		return cell.Item{}, cell.Errorf(cell.Cancelled, "nothing is there")
	}
	first := q.inbox[0]
	q.inbox = q.inbox[1:]
	if first == "error" {
		return cell.Item{Err: cell.Errorf(cell.MemoryExceeded, "too much")}, nil
	}
	return cell.Item{Value: cell.BytesValue([]byte(first))}, nil
}

func (q *quick) Inspect(context.Context) (cell.Report, error) {
	return cell.Report{ID: "quick", State: "idle", CPU: time.Second, Kernel: &cell.KernelUsage{Opens: 3}}, nil
}

func (q *quick) Reload(_ context.Context, r cell.Revision) (cell.Reloaded, error) {
	return cell.Reloaded{Layers: []cell.ReloadedLayer{{Name: strings.Join(r.Imports, ","), Live: true}}}, nil
}

func (q *quick) Snapshot(context.Context, func([]byte) error) (cell.Snapshot, error) {
	return cell.Snapshot{}, cell.Errorf(cell.NotCheckpointable, "it has no state")
}
func (q *quick) Thaw(context.Context) error               { return nil }
func (q *quick) Restore(context.Context, io.Reader) error { return nil }

func (q *quick) Quarantine(_ context.Context, reason string) error {
	return cell.Errorf(cell.Invalid, "not for %s", reason)
}

func (q *quick) Kill(reason string)          { q.finish(errors.New(reason)) }
func (q *quick) Close(context.Context) error { q.finish(nil); return nil }
func (q *quick) Done() <-chan struct{}       { return q.done }
func (q *quick) Err() error                  { return q.why }

func (q *quick) finish(why error) {
	q.once.Do(func() {
		q.why = why
		close(q.done)
	})
}
