package server_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/policystore"
)

// way is a fabric that reaches other nodes' APIs and nothing else.
type way struct {
	server.Fabric
	to map[string]string // by node, where it answers nodes
}

func (w way) Self() string { return "n1" }

func (w way) HTTP(node string) http.RoundTripper {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: &protocols, DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", w.to[node])
		if err != nil {
			return nil, errors.Join(fault.ErrUnavailable, err)
		}
		return c, nil
	}}
}

// servesNodes has the node answer others, which are all called n1.
func (n *node) servesNodes(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- n.server.ServeNodes(l, func(net.Conn) (string, error) { return "n1", nil }) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) && err != nil {
			t.Errorf("serve nodes: %v", err)
		}
	})
	return l.Addr().String()
}

// A node has another one drain, in the name of whoever asked.
func TestDrainOfAnotherNode(t *testing.T) {
	second := &fakeCluster{self: "n2"}
	other := newNode(t, inCluster(second, drained, nil))
	_, err := other.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "one"}))
	must(t, err)
	first := &fakeCluster{members: []cluster.Member{{Name: "n1"}, {Name: "n2"}, {Name: "n3"}}}
	fabric := way{to: map[string]string{"n2": other.servesNodes(t), "n3": "127.0.0.1:1"}}
	n := newNode(t, inCluster(first, drained, nil), func(c *server.Config) { c.Fabric = fabric })
	drain := func(c *client.Client, r *pb.DrainRequest) (*pb.DrainResponse, error) {
		answer, err := c.Cluster.Drain(t.Context(), connect.NewRequest(r))
		if err != nil {
			return nil, err
		}
		return answer.Msg, nil
	}
	if _, err := drain(n.Client, &pb.DrainRequest{Node: "n2"}); !errors.Is(err, cell.NotCheckpointable) || !strings.Contains(err.Error(), "default/one") {
		t.Errorf("with a cell: %v", err)
	}
	tenants, _ := n.as(t, "admin", "shop")
	if _, err := drain(tenants, &pb.DrainRequest{Node: "n2", CloseCells: true}); !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("a tenant's admin: %v", err)
	}
	answer, err := drain(n.Client, &pb.DrainRequest{Node: "n2", CloseCells: true})
	if err != nil || answer.GetNode() != "n2" || len(answer.GetClosed()) != 1 {
		t.Errorf("drained %v, %v", answer, err)
	}
	if _, err := drain(n.Client, &pb.DrainRequest{Node: "n3"}); !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "n3") {
		t.Errorf("a node that is away: %v", err)
	}
	if _, err := drain(n.Client, &pb.DrainRequest{Node: "n4"}); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("a node that is none: %v", err)
	}
}

// What a node says of the caller is believed for what nodes pass on, and for nothing else.
func TestNodesPassOnlySomeCallsOn(t *testing.T) {
	n := newNode(t, inCluster(&fakeCluster{}, drained, nil))
	to := "http://" + n.servesNodes(t)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(true)
	defer transport.CloseIdleConnections()
	for call, want := range map[string]int{
		"/pyisolate.v1.CellService/List":          http.StatusOK,
		"/pyisolate.v1.NodeService/ListNodes":     http.StatusOK,
		"/pyisolate.v1.ClusterService/Drain":      http.StatusOK,
		"/pyisolate.v1.ClusterService/Invite":     http.StatusForbidden,
		"/pyisolate.v1.ClusterService/Remove":     http.StatusForbidden,
		"/pyisolate.v1.PolicyService/CreateToken": http.StatusForbidden,
		"/pyisolate.v1.PolicyService/Put":         http.StatusForbidden,
		"/pyisolate.v1.NodeService/Events":        http.StatusUnsupportedMediaType, // it is let through, and streams
	} {
		for _, principal := range []string{`{"name":"root","role":"admin"}`, `{"name":"root","role":"viewer"}`, `{"role":"admin"}`, `garbage`, ""} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to+call, strings.NewReader("{}"))
			must(t, err)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Pyisolate-Principal", principal)
			r.Header.Set("Authorization", "Bearer pyi_0000000000000000_whatever")
			answer, err := (&http.Client{Transport: transport}).Do(r)
			must(t, err)
			_ = answer.Body.Close()
			expected := want
			switch {
			case !strings.Contains(principal, "root"):
				expected = http.StatusUnauthorized
			case strings.Contains(principal, "viewer") && strings.HasSuffix(call, "Drain"):
				expected = http.StatusForbidden
			}
			if answer.StatusCode != expected {
				t.Errorf("%s for %s: %d, want %d", call, principal, answer.StatusCode, expected)
			}
		}
	}
}
