package server_test

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/host/hosttest"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// The test binary is its own host: real processes, fake Python. See package hosttest.
func init() {
	if len(os.Args) == 2 && os.Args[1] == "host" {
		fake := func(host.Dist) (host.Executor, error) { return new(hosttest.Executor), nil }
		os.Exit(host.Main(host.Options{Threads: fake,
			Processes: func(d host.Dist, _ uint64) (host.Executor, error) { return fake(d) }}))
	}
}

// node is a whole one, on a socket.
type node struct {
	*client.Client // as the node's own user
	server         *server.Server
	store          *policystore.Store
	socket         string
}

// option changes a server's configuration.
type option func(*server.Config)

func newNode(tb testing.TB, options ...option) *node {
	tb.Helper()
	dir := tb.TempDir()
	logger := slog.New(slog.NewTextHandler(testLog{tb}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := policystore.Open(tb.Context(), policystore.Config{Dir: filepath.Join(dir, "policies")})
	must(tb, err)
	refresher, err := refresh.New(refresh.Config{Store: store, File: filepath.Join(dir, "sources.json")})
	must(tb, err)
	reloader := live.New(store, live.Options{})
	launcher, err := launch.New(launch.Config{KillGrace: time.Minute}) // all guests here obey
	must(tb, err)
	broker := capability.New(capability.Config{})
	must(tb, builtin.Register(broker, builtin.Config{}))
	c := server.Config{Store: store, Refresher: refresher, Reloader: reloader, Spawner: launcher, Broker: broker, Logger: logger,
		Recheck: 20 * time.Millisecond}
	for _, o := range options {
		o(&c)
	}
	n := &node{store: store, socket: filepath.Join(dir, "s")}
	n.server, err = server.New(c)
	must(tb, err)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.socket, Net: "unix"})
	must(tb, err)
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(l) }()
	n.Client, err = client.New(client.Config{Socket: n.socket})
	must(tb, err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		n.Close()
		err := errors.Join(n.server.Close(ctx), <-served)
		reloader.Close()
		refresher.Close()
		if err := errors.Join(err, launcher.Close(ctx), broker.Close(ctx), store.Close()); err != nil {
			tb.Errorf("end the node: %v", err)
		}
	})
	return n
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// testLog writes a node's log into the test's.
type testLog struct{ tb testing.TB }

func (l testLog) Write(line []byte) (int, error) {
	l.tb.Log(string(line))
	return len(line), nil
}

// as is a client with a token of a role.
func (n *node) as(t *testing.T, role, tenant string) (c *client.Client, id string) {
	t.Helper()
	made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: role + " of " + tenant, Role: role, Tenant: tenant}))
	must(t, err)
	c, err = client.New(client.Config{Socket: n.socket, Token: made.Msg.GetSecret()})
	must(t, err)
	t.Cleanup(c.Close)
	return c, made.Msg.GetToken().GetId()
}

// secret is a new viewer's.
func (n *node) secret(t *testing.T) string {
	t.Helper()
	made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "viewer", Role: "viewer"}))
	must(t, err)
	return made.Msg.GetSecret()
}

// overHTTPS serves the node's handler to a client that the kernel says nothing of.
func (n *node) overHTTPS(t *testing.T, token string) *client.Client {
	t.Helper()
	s := httptest.NewUnstartedServer(n.server.Handler())
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := client.New(client.Config{URL: s.URL, Token: token, RootCAs: roots})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// put stores a document that permits imports.
func (n *node) put(tb testing.TB, name, imports string) *pb.Version {
	tb.Helper()
	answer, err := n.Policies.Put(tb.Context(), connect.NewRequest(&pb.PutRequest{Name: name, Text: permits(imports)}))
	must(tb, err)
	return answer.Msg.GetVersion()
}

func permits(imports string) []byte {
	return []byte("version: \"1.0\"\nsandboxes:\n  main:\n    imports: [" + imports + "]\n")
}
