package actors

import (
	"context"
	"slices"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
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
