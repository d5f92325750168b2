package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

// spawner answers Spawn as a test has it.
type spawner func(context.Context, cell.Spec) (cell.Cell, error)

func (s spawner) Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error) { return s(ctx, spec) }

// A panic, or a failure that has no name, is an error of its call, and tells nothing.
func TestFaultsOfTheNode(t *testing.T) {
	for name, broken := range map[string]spawner{
		"panic": func(context.Context, cell.Spec) (cell.Cell, error) { panic("secret") },
		"error": func(context.Context, cell.Spec) (cell.Cell, error) { return nil, errors.New("open /secret") },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(c *server.Config) { c.Spawner = broken })
			n.put(t, "web", "math")
			for range 2 { // the name is free again
				_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "c", Policy: &pb.PolicyRef{Name: "web"}}))
				if !errors.Is(err, fault.ErrInternal) || strings.Contains(err.Error(), "secret") {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

// Calls beyond what one principal may have under way are refused, and others' are not.
func TestTooManyCalls(t *testing.T) {
	n := newNode(t, func(c *server.Config) { c.Recheck = time.Minute }) // of the tokens of a thousand calls
	n.put(t, "web", "math")
	busy, _ := n.as(t, "viewer", "")
	other, _ := n.as(t, "operator", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var err error
	watches := 0
	for ; err == nil && watches < 3000; watches++ {
		var w *connect.ServerStreamForClient[pb.WatchResponse]
		if w, err = busy.Policies.Watch(ctx, connect.NewRequest(&pb.WatchRequest{})); err == nil {
			defer func() { _ = w.Close() }()
			if !w.Receive() {
				err = w.Err()
			}
		}
	}
	if !errors.Is(err, policystore.ErrLimited) || watches < 1000 {
		t.Errorf("after %d watches: %v", watches, err)
	}
	if _, err := busy.Policies.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "web"})); err != nil {
		t.Errorf("a short call beside them: %v", err)
	}
	w, err := other.Policies.Watch(ctx, connect.NewRequest(&pb.WatchRequest{}))
	if err != nil || !w.Receive() {
		t.Errorf("another's watch: %v", err)
	}
	_ = w.Close()
}

// The same handlers speak gRPC and gRPC-Web, with the same errors.
func TestOtherProtocols(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math")
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.socket)
	}}
	defer transport.CloseIdleConnections()
	for name, protocol := range map[string]connect.ClientOption{"grpc": connect.WithGRPC(), "grpc-web": connect.WithGRPCWeb(), "json": connect.WithProtoJSON()} {
		t.Run(name, func(t *testing.T) {
			c := api.NewPolicyServiceClient(&http.Client{Transport: transport}, "http://node", protocol)
			got, err := c.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "web"}))
			if err != nil || string(got.Msg.GetVersion().GetText()) != string(permits("math")) {
				t.Errorf("get: %v, %v", got, err)
			}
			_, err = c.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: []byte("version: [")}))
			if err = fault.Answered(err); !errors.Is(err, policystore.ErrInvalid) {
				t.Errorf("put: %v", err)
			}
			r := connect.NewRequest(&pb.ListRequest{})
			r.Header().Set("Authorization", "Bearer nonsense") // refused before the call is looked at
			if _, err = c.List(t.Context(), r); connect.CodeOf(err) != connect.CodeUnauthenticated || !errors.Is(fault.Answered(err), policystore.ErrUnauthenticated) {
				t.Errorf("list: %v", err)
			}
		})
	}
}

// What is compressed is not read: it would be small only while it is.
func TestCompressedRequest(t *testing.T) {
	n := newNode(t)
	s := httptest.NewServer(n.server.Handler())
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "x", Role: "admin"}))
	must(t, err)
	c := api.NewPolicyServiceClient(http.DefaultClient, s.URL, connect.WithSendGzip())
	r := connect.NewRequest(&pb.PutRequest{Name: "web", Text: make([]byte, 8<<20)})
	r.Header().Set("Authorization", "Bearer "+made.Msg.GetSecret())
	if _, err := c.Put(t.Context(), r); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("error %v", err)
	}
}

// A request has no more bytes than its call needs.
func TestLargeRequest(t *testing.T) {
	n := newNode(t)
	for name, c := range map[string]struct {
		do   func() error
		want error
	}{
		"a list": {func() error {
			_, err := n.Policies.List(t.Context(), connect.NewRequest(&pb.ListRequest{Prefix: strings.Repeat("a", 128<<10)}))
			return err
		}, policystore.ErrLimited},
		"a document": {func() error {
			_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: bytes.Repeat([]byte("#\n"), 64<<10)}))
			return err
		}, policystore.ErrInvalid}, // it is read, and is none
	} {
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// patience is one that clients who mean well do not use up, on a machine that is busy with others.
const patience = 2 * time.Second

// patiently has clients have that much time.
func patiently(c *server.Config) { c.Patience = patience }

// talk sends a request as it is and returns its connection.
func (n *node) talk(t *testing.T, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", n.socket)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, request)
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	return c
}

// largePolicy has more text than a socket holds that nobody reads, and few lines: they take longer than bytes.
func largePolicy() string {
	return string(permits("math")) + strings.Repeat("# "+strings.Repeat("n", 997)+"\n", 900)
}

// A client that does not take its answer has it for a time only, and so its slot.
func TestAnswerThatNobodyTakes(t *testing.T) {
	t.Parallel() // most of it is waiting
	n := newNode(t, patiently)
	text := largePolicy()
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: []byte(text)}))
	must(t, err)
	const body = `{"name":"web"}`
	c := n.talk(t, fmt.Sprintf("POST /pyisolate.v1.PolicyService/Get HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	_, err = io.ReadFull(c, make([]byte, 1)) // the answer has begun
	must(t, err)
	await.That(t, "the call has been given up", func() bool { return n.server.Underway() == 0 })
	if got, err := io.ReadAll(c); err != nil || len(got) > len(text) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Nor does it hold up the node's end.
func TestEndWhileAnAnswerIsNotTaken(t *testing.T) {
	n := newNode(t)
	text := largePolicy()
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: []byte(text)}))
	must(t, err)
	const body = `{"name":"web"}`
	c := n.talk(t, fmt.Sprintf("POST /pyisolate.v1.PolicyService/Get HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	_, err = io.ReadFull(c, make([]byte, 1)) // the answer has begun
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	must(t, n.server.Close(ctx))
	must(t, ctx.Err())
	await.That(t, "the call has been given up", func() bool { return n.server.Underway() == 0 })
}

// Nor is a program waited for that does not come.
func TestProgramThatDoesNotCome(t *testing.T) {
	t.Parallel() // most of it is waiting
	n := newNode(t, patiently)
	c := n.talk(t, "POST /pyisolate.v1.CellService/Exec HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the node still waits")
	}
}

// What a call without a deadline has sent in time is no reason to end it.
func TestPatienceEndsWithTheRequest(t *testing.T) {
	t.Parallel() // most of it is waiting
	n := newNode(t, patiently)
	n.put(t, "web", "math")
	first := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.socket)
	}}
	defer first.CloseIdleConnections()
	watches := map[string]*connect.ServerStreamForClient[pb.WatchResponse]{}
	for name, c := range map[string]api.PolicyServiceClient{
		"HTTP/1":         api.NewPolicyServiceClient(&http.Client{Transport: first}, "http://node"),
		"HTTP/2, socket": n.Policies, "HTTP/2, TLS": n.overHTTPS(t, n.secret(t)).Policies,
	} {
		watch, err := c.Watch(t.Context(), connect.NewRequest(&pb.WatchRequest{}))
		must(t, err)
		defer func() { _ = watch.Close() }()
		watches[name] = watch
	}
	pause.For(t.Context(), patience*3/2)
	want := n.put(t, "web", "json").GetNumber()
	for name, watch := range watches {
		for watch.Receive() && watch.Msg().GetVersion().GetNumber() != want {
		}
		if watch.Err() != nil {
			t.Errorf("%s: %v", name, watch.Err())
		}
	}
}

// A page has the time that it takes, if its request has no body that could be waited for.
func TestLongPage(t *testing.T) {
	n := newNode(t, patiently, func(c *server.Config) {
		c.Extra = map[string]server.Page{"/profile": {Long: true, Local: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if pause.For(r.Context(), patience*3/2) {
				_, _ = io.WriteString(w, "whole")
			}
		})}}
	})
	for name, second := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, err := n.plainClient(t, second).Get("http://node/profile")
			must(t, err)
			got, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || string(got) != "whole" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// A client that sends its request slowly does not keep a slot for ever.
func TestSlowRequest(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes the 10 s that a call has")
	}
	t.Parallel()
	n := newNode(t)
	c, err := net.Dial("unix", n.socket)
	must(t, err)
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, "POST /pyisolate.v1.PolicyService/Get HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	must(t, err)
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Error("the node still waits")
		}
	}
}

// What one request may take says nothing of the next on its connection.
func TestRequestsOnOneConnection(t *testing.T) {
	n := newNode(t, patiently)
	for name, second := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := n.plainClient(t, second)
			for i := range 3 {
				if i > 0 {
					pause.For(t.Context(), patience*3/2)
				}
				answer, err := c.Post("http://node/pyisolate.v1.CellService/List", "application/json", strings.NewReader("{}"))
				must(t, err)
				_, err = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				if err != nil || answer.StatusCode != http.StatusOK {
					t.Errorf("%s, %v", answer.Status, err)
				}
			}
		})
	}
}
