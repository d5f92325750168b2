package actors

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
	"github.com/pyisolate/pyisolate/broker/capability/send"
	"github.com/pyisolate/pyisolate/cell"
)

// doorOf is a broker with the capability send of a system.
func doorOf(t *testing.T, s *System) *capability.Broker {
	t.Helper()
	b := capability.New(capability.Config{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	if err := b.Register(send.Name, send.New(s.Sender())); err != nil {
		t.Fatal(err)
	}
	return b
}

func policy(t *testing.T, version uint64, grants ...string) capability.Policy {
	t.Helper()
	parsed, err := capability.ParseGrants(grants)
	if err != nil {
		t.Fatal(err)
	}
	return capability.Policy{Version: version, Grants: parsed}
}

// enter opens the session of the cell.
func enter(t *testing.T, b *capability.Broker, grants ...string) *capability.Session {
	t.Helper()
	session, err := b.Open(capability.Identity{Tenant: worker.Tenant, Cell: worker.Name}, policy(t, 1, grants...))
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func ask(t *testing.T, s *capability.Session, action, payload string) error {
	t.Helper()
	_, err := s.Do(soon(t), capability.Request{Capability: send.Name, Action: action, Payload: capability.Value{Type: capability.JSON, Data: []byte(payload)}})
	return err
}

func subscribes(t *testing.T, s *capability.Session, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		if err := ask(t, s, "subscribe", `{"topic":"`+topic+`"}`); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *System) mustHear(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := s.Topics(worker); !slices.Equal(got, want) {
		t.Errorf("%s it hears %q, want %q", when, got, want)
	}
	for _, topic := range []string{"given", "news", "payroll"} {
		p, err := s.Publish(soon(t), worker.Tenant, topic, "test", cell.Null())
		if err != nil || p.Delivered != map[bool]int{true: 1}[slices.Contains(want, topic)] {
			t.Errorf("%s %s is delivered to %d: %v", when, topic, p.Delivered, err)
		}
	}
}

// TestHearsWhatIsGranted: what a cell subscribed to itself it hears as long as it is granted, over
// its restarts; what it was given it hears always.
func TestHearsWhatIsGranted(t *testing.T) {
	s, _ := newSystem(t, Options{})
	var cells started
	p := cells.plan()
	p.Topics = []string{"given"}
	spawn(t, s, worker, p)
	door := doorOf(t, s)
	session := enter(t, door, `send={"hear":["given","news","payroll"]}`)
	subscribes(t, session, "given", "news", "payroll")
	s.mustHear(t, "at first", "given", "news", "payroll")
	if err := session.Update(policy(t, 2, `send={"names":["x"],"hear":["given","news"]}`)); err != nil {
		t.Fatal(err)
	}
	s.mustHear(t, "with less", "given", "news")
	session.Close()
	session = enter(t, door, `send={"hear":["news"]}`)
	s.mustHear(t, "restarted", "given", "news")
	if err := session.Update(policy(t, 2)); err != nil {
		t.Fatal(err)
	}
	s.mustHear(t, "without a grant", "given")
}

// TestMoveCarriesOrigins: so it is on the node to which it moved; and what it did not want of what it
// was given does not come back.
func TestMoveCarriesOrigins(t *testing.T) {
	p := newPair(t, Options{})
	var here, there started
	plan := here.plan()
	plan.Topics = []string{"given", "unwanted"}
	p.spawn(t, plan)
	subscribes(t, enter(t, doorOf(t, p.a), `send={"hear":["news"]}`), "news")
	p.a.Unsubscribe(worker, "unwanted")
	session := enter(t, doorOf(t, p.b), `send={"hear":["news"]}`)
	next := there.plan()
	next.Topics = plan.Topics
	if r := p.move(t, p.a, p.to(t, p.b, next)); r.Err != nil {
		t.Fatal(r.Err)
	}
	p.b.mustHear(t, "moved", "given", "news")
	if err := session.Update(policy(t, 2)); err != nil {
		t.Fatal(err)
	}
	p.b.mustHear(t, "then", "given")
}

// failing is a directory of which one name is on a node whose answers are an error.
type failing struct {
	Local
	err error
}

func (f *failing) Lookup(a Address) (Entry, bool) {
	if a.Name == "far" {
		return Entry{Via: f}, true
	}
	return f.Local.Lookup(a)
}

func (f *failing) Ask(context.Context, Envelope) Reply { return Reply{Err: f.err} }

// TestGuestsLearnNoAddresses: what another node could not be reached by is for the record.
func TestGuestsLearnNoAddresses(t *testing.T) {
	d := &failing{}
	s, _ := newSystem(t, Options{Directory: d})
	guest := captest.Open(t, map[string]capability.Capability{send.Name: send.New(s.Sender())}, "send=far")
	const secret = "dial tcp 10.1.2.3:7443"
	for err, want := range map[error]capability.Kind{
		cell.Errorf(cell.Busy, "%s", secret): capability.Busy, cell.Errorf(cell.CellGone, "%s", secret): capability.NotFound,
		cell.Errorf(cell.UnknownOutcome, "%s", secret): capability.Timeout, cell.Errorf(cell.Cancelled, "%s", secret): capability.Cancelled,
		errors.New(secret): capability.Failed,
	} {
		d.err = err
		_, got := guest.Ask(send.Name, "send", `{"to":"far","value":1}`)
		if e := captest.Error(t, got, want); e.Message == "" || strings.Contains(e.Message, "10.1") {
			t.Errorf("the guest reads %q", e.Message)
		}
		if last := guest.Records()[len(guest.Records())-1]; !strings.Contains(last.Fault, secret) {
			t.Errorf("the record of %v has the fault %q", got, last.Fault)
		}
	}
	d.err = cell.Errorf(cell.Invalid, "the value has 9 bytes too many")
	_, got := guest.Ask(send.Name, "send", `{"to":"far","value":1}`)
	captest.Want(t, got, capability.Invalid, "9 bytes too many")
}
