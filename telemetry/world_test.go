package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/host/hosttest"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/notify"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/policystore/refresh"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/events"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// The test binary is its own host: real processes, fake Python. See package hosttest.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "host" {
		fake := func(host.Dist) (host.Executor, error) { return new(hosttest.Executor), nil }
		os.Exit(host.Main(host.Options{Threads: fake,
			Processes: func(d host.Dist, _ uint64) (host.Executor, error) { return fake(d) }}))
	}
	goleak.VerifyTestMain(m)
}

// node is a whole one, observed, on a socket.
type node struct {
	*client.Client
	*telemetry.Observer
	t      testing.TB
	socket string
}

func newNode(t testing.TB, tracer *trace.Tracer) *node {
	t.Helper()
	o := &telemetry.Observer{Metrics: telemetry.NewMetrics(telemetry.WithBuild("test", "3.14"), telemetry.WithGuestTags("unit")), Events: events.NewHub(0), Tracer: tracer}
	dir := t.TempDir()
	store, err := policystore.Open(t.Context(), policystore.Config{Dir: filepath.Join(dir, "policies")})
	must(t, err)
	refresher, err := refresh.New(refresh.Config{Store: store, File: filepath.Join(dir, "sources.json")})
	must(t, err)
	reloader := live.New(store, live.Options{Reported: o.Reported})
	launcher, err := launch.New(launch.Config{KillGrace: time.Minute, Hosts: o.Host}) // all guests here obey
	must(t, err)
	broker := capability.New(capability.Config{Recorder: o.Recorder(nil)})
	must(t, builtin.Register(broker, builtin.Config{}))
	o.Read(telemetry.Sources{Launch: launcher.Stats, Traffic: launcher.Traffic, Kernel: launcher.KernelUsage, Unreceived: launcher.Unreceived,
		Watched: func() notify.Counts { return notify.Counts{} }, Events: o.Events.Stats, Behind: reloader.Behind,
		Cluster: func() telemetry.ClusterStats { return telemetry.ClusterStats{} }})
	n := &node{Observer: o, t: t, socket: filepath.Join(dir, "s")}
	s, err := server.New(server.Config{Store: store, Refresher: refresher, Reloader: reloader, Spawner: launcher, Broker: broker, Observer: o,
		Logger: slog.New(slog.DiscardHandler), Extra: map[string]server.Page{"/metrics": {Handler: o.Metrics.Handler()}}})
	must(t, err)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.socket, Net: "unix"})
	must(t, err)
	served, watched := make(chan error, 1), make(chan struct{})
	go func() { served <- s.Serve(l) }()
	watching, stop := context.WithCancel(context.Background())
	policies := &watchable{Store: store, listed: make(chan struct{})}
	go func() { defer close(watched); o.WatchPolicies(watching, policies) }()
	<-policies.listed // or what a test puts first were no event
	n.Client, err = client.New(client.Config{Socket: n.socket})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		n.Close()
		err := errors.Join(s.Close(ctx), <-served)
		stop()
		<-watched
		reloader.Close()
		refresher.Close()
		if err := errors.Join(err, launcher.Close(ctx), broker.Close(ctx), store.Close()); err != nil {
			t.Errorf("end the node: %v", err)
		}
		o.Wait()
	})
	return n
}

// watchable is a store that tells when what there was before is known to who watches it.
type watchable struct {
	*policystore.Store
	once   sync.Once
	listed chan struct{}
}

func (w *watchable) Watch(ctx context.Context, prefix string, from uint64) (*policystore.Watch, error) {
	w.once.Do(func() { close(w.listed) })
	return w.Store.Watch(ctx, prefix, from)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) put(name, sandbox string) {
	n.t.Helper()
	_, err := n.Policies.Put(n.t.Context(), connect.NewRequest(&pb.PutRequest{Name: name, Text: []byte("version: \"1.0\"\nsandboxes:\n  main:\n    " + sandbox + "\n")}))
	must(n.t, err)
}

func (n *node) spawn(tenant, name, policy string) {
	n.t.Helper()
	_, err := n.Cells.Spawn(n.t.Context(), connect.NewRequest(&pb.SpawnRequest{Tenant: tenant, Name: name, Policy: &pb.PolicyRef{Name: policy}}))
	must(n.t, err)
}

func (n *node) exec(tenant, name, code string) error {
	_, err := n.Cells.Exec(n.t.Context(), connect.NewRequest(&pb.ExecRequest{Tenant: tenant, Name: name, Code: code}))
	return err
}

// happened waits for an event of a kind and returns it.
func (n *node) happened(k events.Kind) (e events.Event) {
	n.t.Helper()
	await.That(n.t, "the event "+string(k), func() bool {
		all, _, _, _ := n.Events.Since(0)
		i := slices.IndexFunc(all, func(e events.Event) bool { return e.Kind == k })
		if i >= 0 {
			e = all[i]
		}
		return i >= 0
	})
	return e
}
