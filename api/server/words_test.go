package server_test

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
)

const bad = "a\xff\xc0\x00\x1b[31m\n"

// rude is a cell whose host was taken over: all that it says is no UTF-8.
type rude struct {
	spec cell.Spec
	once sync.Once
	done chan struct{}
}

func rudely(_ context.Context, spec cell.Spec) (cell.Cell, error) {
	return &rude{spec: spec, done: make(chan struct{})}, nil
}

func badError() *cell.Error {
	return &cell.Error{Kind: cell.PolicyDenied, Message: bad, Type: bad, Traceback: bad, Denial: badDenial()}
}

func badDenial() *cell.Denial {
	return &cell.Denial{Cell: bad, Capability: bad, Action: bad, Rule: bad, Kernel: bad, Broker: bad, At: time.Now()}
}

func (r *rude) ID() string      { return bad }
func (r *rude) Spec() cell.Spec { return r.spec }
func (r *rude) Exec(context.Context, cell.Source) error {
	r.spec.Sink.Log(cell.LogRecord{Level: bad, Message: bad, Fields: json.RawMessage(bad)})
	r.spec.Sink.Metric(cell.Sample{Name: bad, Tags: map[string]string{bad: bad}})
	r.spec.Sink.Denied(*badDenial())
	return badError()
}
func (r *rude) Call(context.Context, cell.Invocation) (cell.Value, error) {
	return cell.Value{Type: cell.JSON, Data: []byte(bad)}, nil
}
func (r *rude) Send(context.Context, cell.Value) error { return badError() }
func (r *rude) Recv(context.Context) (cell.Item, error) {
	return cell.Item{Value: cell.Value{Type: cell.JSON, Data: []byte(bad)}}, nil
}
func (r *rude) Inspect(context.Context) (cell.Report, error) {
	return cell.Report{State: bad, Reason: bad, Confinement: &cell.Confinement{Unheld: []string{bad},
		Layers: []cell.Layer{{Name: bad, Evidence: bad, Gaps: []string{bad}}}}}, nil
}
func (r *rude) Reload(context.Context, cell.Revision) (cell.Reloaded, error) {
	return cell.Reloaded{Layers: []cell.ReloadedLayer{{Name: bad, Live: true}, {Name: bad, Missing: bad}}}, nil
}
func (r *rude) Snapshot(context.Context, func([]byte) error) (cell.Snapshot, error) {
	return cell.Snapshot{Python: bad}, badError()
}
func (r *rude) Thaw(context.Context) error               { return badError() }
func (r *rude) Restore(context.Context, io.Reader) error { return badError() }
func (r *rude) Quarantine(context.Context, string) error { return badError() }
func (r *rude) Kill(string)                              { r.once.Do(func() { close(r.done) }) }
func (r *rude) Close(context.Context) error              { r.Kill(""); return nil }
func (r *rude) Done() <-chan struct{}                    { return r.done }
func (r *rude) Err() error                               { return badError() }

// No guest breaks an answer or a stream by its words, in any protocol.
func TestWordsOfGuests(t *testing.T) {
	n := newNode(t, func(c *server.Config) { c.Spawner = spawner(rudely) })
	n.put(t, "web", "math")
	n.spawn(t, "c", "web")
	n.put(t, "web", "json") // is reloaded, with bad words for layers
	_, err := n.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c"}))
	if cell.KindOf(err) != cell.PolicyDenied {
		t.Fatalf("exec: %v", err)
	}
	for name, protocol := range map[string]connect.ClientOption{"grpc": connect.WithGRPC(), "grpc-web": connect.WithGRPCWeb(), "json": connect.WithProtoJSON(), "proto": connect.WithClientOptions()} {
		t.Run(name, func(t *testing.T) {
			c := api.NewCellServiceClient(n.plainClient(t, true), "http://node", protocol)
			_, err := c.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "c"}))
			if got := connect.CodeOf(err); got != connect.CodePermissionDenied {
				t.Errorf("exec: %v", err)
			}
			called, err := c.Call(t.Context(), connect.NewRequest(&pb.CallRequest{Name: "c", Target: "f"}))
			whole(t, "call", called, err)
			if err == nil && string(called.Msg.GetValue().GetRaw()) != bad {
				t.Errorf("call: %v", called.Msg)
			}
			received, err := c.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Name: "c", Max: 3}))
			whole(t, "recv", received, err)
			inspected, err := c.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Name: "c"}))
			whole(t, "inspect", inspected, err)
			listed, err := c.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
			whole(t, "list", listed, err)
			stats, err := c.Stats(t.Context(), connect.NewRequest(&pb.StatsRequest{}))
			whole(t, "stats", stats, err)
			logs, err := c.Logs(t.Context(), connect.NewRequest(&pb.LogsRequest{Name: "c"}))
			must(t, err)
			said := 0
			for logs.Receive() {
				said++
			}
			if logs.Err() != nil || said < 3 {
				t.Errorf("logs: %d, %v", said, logs.Err())
			}
			_ = logs.Close()
			stream, err := c.Stream(t.Context(), connect.NewRequest(&pb.StreamRequest{Name: "c", All: true, Limit: 40}))
			must(t, err)
			posts := 0
			for stream.Receive() {
				if stream.Msg().GetPost() != nil {
					posts++
				}
			}
			if stream.Err() != nil || posts != 40 {
				t.Errorf("stream: %d posts, %v", posts, stream.Err())
			}
			_ = stream.Close()
			if _, err := c.Send(t.Context(), connect.NewRequest(&pb.SendRequest{Name: "c", Value: &pb.Value{Kind: &pb.Value_Json{Json: "1"}}})); connect.CodeOf(err) != connect.CodePermissionDenied {
				t.Errorf("send: %v", err)
			}
			if _, err := c.Quarantine(t.Context(), connect.NewRequest(&pb.QuarantineRequest{Name: "c"})); connect.CodeOf(err) != connect.CodePermissionDenied {
				t.Errorf("quarantine: %v", err)
			}
		})
	}
}

// whole is an answer that came and can be sent on.
func whole[T any](t *testing.T, what string, answer *connect.Response[T], err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if _, err := proto.Marshal(any(answer.Msg).(proto.Message)); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
