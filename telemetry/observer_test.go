package telemetry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// still is a cell that does nothing, and ends for a reason.
type still struct {
	cell.Cell
	spec cell.Spec
	why  error
	done chan struct{}
}

func (s *still) Spec() cell.Spec                         { return s.spec }
func (s *still) Exec(context.Context, cell.Source) error { return nil }
func (s *still) Send(context.Context, cell.Value) error  { return nil }
func (s *still) Done() <-chan struct{}                   { return s.done }
func (s *still) Err() error                              { return s.why }
func (s *still) Spawn(_ context.Context, p cell.Spec) (cell.Cell, error) {
	s.spec = p
	return s, nil
}

func newObserver() *Observer {
	return &Observer{Metrics: NewMetrics(), Events: events.NewHub(0)}
}

func (o *Observer) kinds() (all []events.Kind) {
	found, _, _, _ := o.Events.Since(0)
	for _, e := range found {
		all = append(all, e.Kind)
	}
	return all
}

// A cell that the kernel's programs have ended is told apart, and what it measured goes with it.
func TestEndOfACell(t *testing.T) {
	for want, why := range map[string]error{
		"CPU_KILL": cell.Errorf(cell.CellGone, "killed: CPUExceeded: the quota cpu_total of its policy is used up"),
		"":         cell.Errorf(cell.CellGone, "killed: by an operator"),
	} {
		o, s := newObserver(), &still{why: why, done: make(chan struct{})}
		c, err := o.Spawner(s).Spawn(t.Context(), cell.Spec{Tenant: "acme", Name: "c"})
		if err != nil {
			t.Fatal(err)
		}
		s.spec.Sink.Metric(cell.Sample{Name: "load", Value: 1})
		if n := seriesOf(t, o.Metrics, "pyisolate_guest_metric"); n != 1 {
			t.Errorf("%d series while it runs", n)
		}
		if _, err := s.spec.Sink.Request(t.Context(), cell.Request{Capability: "kv"}); cell.KindOf(err) != cell.PolicyDenied {
			t.Errorf("a request that nobody serves: %v", err)
		}
		s.spec.Sink.Log(cell.LogRecord{})
		s.spec.Sink.Denied(cell.Denial{Kernel: "denied", Capability: "net", Action: "connect"})
		close(s.done)
		o.Wait()
		s.spec.Sink.Metric(cell.Sample{Name: "late", Value: 1}) // of a frame that its host had sent
		if n := seriesOf(t, o.Metrics, "pyisolate_guest_metric"); n != 0 {
			t.Errorf("%d series after its end", n)
		}
		kinds := []events.Kind{events.Denied}
		if want != "" {
			kinds = append(kinds, events.Kind(want))
		}
		if got := o.kinds(); !slices.Equal(got, kinds) {
			t.Errorf("%v: events %v", why, got)
		}
		if n := testutil.ToFloat64(o.Metrics.denials.WithLabelValues("net", "kernel")); n != 1 {
			t.Errorf("%v denials by the kernel", n)
		}
		_ = c
	}
}

// listing is a store that cannot be watched.
type listing []policystore.Version

func (l listing) List(context.Context, policystore.ListRequest, policystore.Consistency) (policystore.Listing, error) {
	return policystore.Listing{Versions: l}, nil
}

func (listing) Watch(context.Context, string, uint64) (*policystore.Watch, error) {
	return nil, errors.New("not now")
}

// A policy that was deleted while nobody watched is not told of after that.
func TestPolicyDeletedUnseen(t *testing.T) {
	o := newObserver()
	for _, store := range []listing{{{Name: "a", Number: 1}, {Name: "b", Number: 2}}, {{Name: "b", Number: 3}}} {
		if err := o.watchOnce(t.Context(), store); err == nil {
			t.Fatal("it is watched")
		}
	}
	if got := o.Metrics.policies.newest; len(got) != 1 || got["b"] != 3 {
		t.Errorf("told of %v", got)
	}
}

// Only faults of the node's are broker errors.
func TestBrokerErrors(t *testing.T) {
	o := newObserver()
	r := o.Recorder(nil)
	for _, outcome := range append(capability.Kinds(), capability.OK) {
		r.Record(capability.Record{Identity: capability.Identity{Tenant: "acme", Cell: "c"}, Capability: "kv", Action: "get", Outcome: outcome})
	}
	r.Denied(capability.Denial{})
	if got := o.kinds(); !slices.Equal(got, []events.Kind{events.BrokerError}) {
		t.Errorf("events %v", got)
	}
}

func TestHosts(t *testing.T) {
	o := newObserver()
	o.Host(launch.HostChange{Backend: cell.Process, PID: 7})
	o.Host(launch.HostChange{Backend: cell.Process, PID: 7, Ended: launch.Died, Reason: "exit\nforged", Up: time.Second})
	o.Host(launch.HostChange{Backend: cell.Process, Failed: errors.New("no room")})
	found, _, _, _ := o.Events.Since(0)
	if len(found) != 3 || found[1].Message != "died: process 7 of backend process, after 1s: exit forged" || found[2].Kind != events.HostEnded {
		t.Errorf("events %+v", found)
	}
	if n := testutil.ToFloat64(o.Metrics.hostStarts.WithLabelValues("process", "Unknown")); n != 1 {
		t.Errorf("%v failed starts", n)
	}
}

// Who watches for the first failure of hosts sees 0 before it.
func TestHostsBeforeTheFirst(t *testing.T) {
	want := `
# HELP pyisolate_host_starts_total Host processes that were started, or could not be.
# TYPE pyisolate_host_starts_total counter
pyisolate_host_starts_total{backend="process",outcome="Unknown"} 0
pyisolate_host_starts_total{backend="process",outcome="ok"} 0
pyisolate_host_starts_total{backend="subinterpreter",outcome="Unknown"} 0
pyisolate_host_starts_total{backend="subinterpreter",outcome="ok"} 0
`
	m := NewMetrics()
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "pyisolate_host_starts_total"); err != nil {
		t.Error(err)
	}
	if n := seriesOf(t, m, "pyisolate_host_ends_total"); n != 10 {
		t.Errorf("%d series of ends, of 2 backends by 5 reasons", n)
	}
}

// That a name is free again is nobody's event.
func TestLeft(t *testing.T) {
	o := newObserver()
	o.Actor(actors.Event{Kind: actors.Left})
	if got := o.kinds(); len(got) != 0 {
		t.Errorf("events %v", got)
	}
}

func TestRefusedCalls(t *testing.T) {
	o := newObserver()
	o.Refused("/x.Y/Z", connect.NewError(connect.CodeUnauthenticated, errors.New("no")))
	if n := testutil.CollectAndCount(o.Metrics.calls); n != 1 {
		t.Errorf("%d series", n)
	}
}

// What observation adds to an operation of a cell.
func BenchmarkObserved(b *testing.B) {
	s := &still{done: make(chan struct{})}
	for name, o := range map[string]*Observer{"nobody": nil, "metrics and events": newObserver()} {
		b.Run(name, func(b *testing.B) {
			c, err := o.Spawner(s).Spawn(b.Context(), cell.Spec{Tenant: "acme", Name: "c"})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = c.Exec(b.Context(), cell.Source{})
			}
		})
	}
	close(s.done)
}

// What a scrape costs of a node with all series that guests can make.
func BenchmarkScrape(b *testing.B) {
	m := NewMetrics()
	for i := range maxOfAll / maxOfCell {
		c := m.Guest(string(rune('a'+i/(maxOfTenant/maxOfCell))), string(rune('a'+i)))
		for n := range maxOfCell {
			c.Set(string(rune('a'+n)), 1, nil)
		}
	}
	for b.Loop() {
		if _, err := m.registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
