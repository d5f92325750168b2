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

// benchNode is a node that serves on a socket, in this process, as `serve` makes one.
type benchNode struct {
	root          string
	node          *node.Node
	second, first *http.Transport // versions of HTTP
}

// node opens one. The caller closes it, whatever the error.
func (b *bench) node(ctx context.Context) (n *benchNode, err error) {
	n = &benchNode{}
	if n.root, err = os.MkdirTemp("", "pyisolate-bench-"); err != nil {
		return n, err
	}
	b.withoutKernel() // it has its own
	socket := filepath.Join(n.root, "s")
	n.node, err = node.Open(ctx, node.Config{Data: filepath.Join(n.root, "data"), Socket: socket, Python: b.dist.Lib, DrainTimeout: -1})
	if err != nil {
		return n, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	n.first = &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64}
	n.second = &http.Transport{DialContext: dial, Protocols: new(http.Protocols)}
	n.second.Protocols.SetUnencryptedHTTP2(true)
	return n, nil
}

// cells is a client that speaks gRPC or JSON, the latter over HTTP/1.1 as small clients do.
func (n *benchNode) cells(json bool) api.CellServiceClient {
	if json {
		return api.NewCellServiceClient(&http.Client{Transport: n.first}, "http://node", connect.WithProtoJSON())
	}
	return api.NewCellServiceClient(&http.Client{Transport: n.second}, "http://node", connect.WithGRPC())
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

func (n *benchNode) close() (err error) {
	for _, t := range []*http.Transport{n.first, n.second} {
		if t != nil {
			t.CloseIdleConnections()
		}
	}
	if n.node != nil {
		err = n.node.Close()
	}
	return errors.Join(err, os.RemoveAll(n.root))
}
