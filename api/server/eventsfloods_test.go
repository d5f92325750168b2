package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/internal/pause"
)

// unending is a node that has always something more that it has kept.
type unending struct {
	api.UnimplementedNodeServiceHandler
	every time.Duration
}

func (e unending) Events(ctx context.Context, _ *connect.Request[pb.EventsRequest], out *connect.ServerStream[pb.EventsResponse]) error {
	for index := uint64(1); pause.For(ctx, e.every); index++ {
		event := &pb.Event{Index: index, Kind: "POLICY_PUT", Message: "more", At: timestamppb.New(time.Unix(0, 0))}
		if err := out.Send(&pb.EventsResponse{Item: &pb.EventsResponse_Event{Event: event}}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// huge is a node that has an event which is longer than any.
type huge struct {
	api.UnimplementedNodeServiceHandler
}

func (huge) Events(_ context.Context, _ *connect.Request[pb.EventsRequest], out *connect.ServerStream[pb.EventsResponse]) error {
	event := &pb.Event{Index: 1, Kind: "POLICY_PUT", Message: strings.Repeat("x", 2<<20), At: timestamppb.New(time.Unix(0, 0))}
	return out.Send(&pb.EventsResponse{Item: &pb.EventsResponse_Event{Event: event}})
}

// What a node says that is longer than what any has to say is not read.
func TestHugeEvent(t *testing.T) {
	w := newWorld(t)
	honest := tellers(t, w, 1)[0]
	honest.publish("", "honest", 0)
	w.joinAs(t, "n2", huge{})
	stream, err := honest.Nodes.Events(t.Context(), connect.NewRequest(&pb.EventsRequest{}))
	must(t, err)
	defer func() { _ = stream.Close() }()
	var words []string
	for stream.Receive() {
		words = append(words, fmt.Sprintf("%.20s", word(stream.Msg())))
	}
	must(t, stream.Err())
	if !slices.Contains(words, "n1 honest") || !slices.Contains(words, "n2 NODE_SILENT") || slices.ContainsFunc(words, func(one string) bool { return strings.HasPrefix(one, "n2 xx") }) {
		t.Errorf("it hears %q", words)
	}
}

// joinAs has a node answer what is asked of nodes as a test has it.
func (w *world) joinAs(t *testing.T, name string, of api.NodeServiceHandler) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(w.dir, name))
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle(api.NewNodeServiceHandler(of))
	var second http.Protocols
	second.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: mux, Protocols: &second, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- s.Serve(greeted{l, w.fabric(name)}) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, name)
}

// greeted reads who connects, whoever it is.
type greeted struct {
	net.Listener
	of *fabric
}

func (g greeted) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err == nil {
		_, _ = g.of.peer(c)
	}
	return c, err
}

// A node that goes on and on with what it has kept withholds what others have for a while only.
func TestEndlessEvents(t *testing.T) {
	for name, every := range map[string]time.Duration{"fast": 0, "slow": time.Second} {
		t.Run(name, func(t *testing.T) {
			if every > 0 && testing.Short() {
				t.Skip("it takes the 10 s that a node has")
			}
			t.Parallel()
			w := newWorld(t)
			honest := tellers(t, w, 1)[0]
			honest.publish("", "honest", 0)
			w.joinAs(t, "n2", unending{every: every})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			stream, err := honest.Nodes.Events(ctx, connect.NewRequest(&pb.EventsRequest{}))
			must(t, err)
			defer func() { _ = stream.Close() }()
			var words []string
			for stream.Receive() {
				if one := word(stream.Msg()); one != "n2 more" {
					words = append(words, one)
				}
			}
			must(t, stream.Err())
			if !slices.Contains(words, "n1 honest") || !slices.Contains(words, "n2 NODE_SILENT") {
				t.Errorf("it hears %v", words)
			}
		})
	}
}
