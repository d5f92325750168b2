package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// benchNode is a node that serves on a socket, in this process.
type benchNode struct {
	root      string
	store     *policystore.Store
	refresher *refresh.Refresher
	reloader  *live.Reloader
	launcher  *launch.Launcher
	broker    *capability.Broker
	server    *server.Server
	served    chan error
	transport *http.Transport
}

// node opens one without a pool. The caller closes it, whatever the error.
func (b *bench) node(ctx context.Context) (n *benchNode, err error) {
	n = &benchNode{}
	if n.root, err = os.MkdirTemp("", "pyisolate-bench-"); err != nil {
		return n, err
	}
	if n.store, err = policystore.Open(ctx, policystore.Config{Dir: filepath.Join(n.root, "store")}); err != nil {
		return n, err
	}
	if n.refresher, err = refresh.New(refresh.Config{Store: n.store, File: filepath.Join(n.root, "sources.json")}); err != nil {
		return n, err
	}
	n.reloader = live.New(n.store, live.Options{})
	if n.launcher, err = b.launcher(ctx, noPool); err != nil {
		return n, err
	}
	n.broker = capability.New(capability.Config{})
	n.server, err = server.New(server.Config{Store: n.store, Refresher: n.refresher, Reloader: n.reloader, Spawner: n.launcher, Broker: n.broker})
	if err != nil {
		return n, err
	}
	if err = builtin.Register(n.broker, builtin.Config{Sender: n.server.Actors().Sender()}); err != nil {
		return n, err
	}
	return n, n.serve()
}

func (n *benchNode) serve() error {
	socket := filepath.Join(n.root, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	n.served = make(chan error, 1)
	go func() { n.served <- n.server.Serve(l) }()
	n.transport = &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	n.transport.Protocols.SetUnencryptedHTTP2(true)
	return nil
}

// cells is a client that speaks gRPC or JSON, the latter over HTTP/1.1 as small clients do.
func (n *benchNode) cells(json bool) api.CellServiceClient {
	if !json {
		return api.NewCellServiceClient(&http.Client{Transport: n.transport}, "http://node", connect.WithGRPC())
	}
	plain := &http.Transport{DialContext: n.transport.DialContext, MaxIdleConnsPerHost: 64}
	return api.NewCellServiceClient(&http.Client{Transport: plain}, "http://node", connect.WithProtoJSON())
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
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if n.transport != nil {
		n.transport.CloseIdleConnections()
	}
	if n.server != nil {
		err = n.server.Close(ctx)
	}
	if n.served != nil {
		err = errors.Join(err, <-n.served)
	}
	if n.reloader != nil {
		n.reloader.Close()
	}
	if n.refresher != nil {
		n.refresher.Close()
	}
	if n.launcher != nil {
		err = errors.Join(err, n.launcher.Close(ctx))
	}
	if n.broker != nil {
		err = errors.Join(err, n.broker.Close(ctx))
	}
	if n.store != nil {
		err = errors.Join(err, n.store.Close())
	}
	return errors.Join(err, os.RemoveAll(n.root))
}
