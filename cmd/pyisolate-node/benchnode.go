package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/node"
)

// benchSocket is a socket of which clients are measured, and a directory of its own.
type benchSocket struct {
	root, path    string
	second, first *http.Transport // versions of HTTP
}

func newBenchSocket() (*benchSocket, error) {
	root, err := os.MkdirTemp("", "pyisolate-bench-")
	if err != nil {
		return nil, err
	}
	s := &benchSocket{root: root, path: filepath.Join(root, "s")}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.path)
	}
	s.first = &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64}
	s.second = &http.Transport{DialContext: dial, Protocols: new(http.Protocols)}
	s.second.Protocols.SetUnencryptedHTTP2(true)
	return s, nil
}

// cells is a client that speaks gRPC or JSON, the latter over HTTP/1.1 as small clients do.
func (s *benchSocket) cells(json bool) api.CellServiceClient {
	if json {
		return api.NewCellServiceClient(&http.Client{Transport: s.first}, "http://node", connect.WithProtoJSON())
	}
	return api.NewCellServiceClient(&http.Client{Transport: s.second}, "http://node", connect.WithGRPC())
}

// close is for when nothing serves on it any more.
func (s *benchSocket) close() error {
	s.first.CloseIdleConnections()
	s.second.CloseIdleConnections()
	return os.RemoveAll(s.root)
}

// benchNode is a node that serves on a socket, in this process, as `serve` makes one.
type benchNode struct {
	*benchSocket
	node *node.Node
}

// node opens one, for the caller to close.
func (b *bench) node(ctx context.Context) (*benchNode, error) {
	s, err := newBenchSocket()
	if err != nil {
		return nil, err
	}
	b.withoutKernel() // it has its own
	n, err := node.Open(ctx, node.Config{Data: filepath.Join(s.root, "data"), Socket: s.path, Python: b.dist.Lib, DrainTimeout: -1})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &benchNode{s, n}, nil
}

// spawn starts a cell under a document of its own; "": without any.
func (n *benchNode) spawn(ctx context.Context, name, document, code string) error {
	c := n.cells(false)
	_, err := c.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Tenant: "bench", Name: name, Document: document}))
	if err == nil && code != "" {
		_, err = c.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: "bench", Name: name, Code: code}))
	}
	if err != nil {
		return fmt.Errorf("start cell %s: %w", name, err)
	}
	return nil
}

func (n *benchNode) close() error { return errors.Join(n.node.Close(), n.benchSocket.close()) }
