package remote

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
)

// topicsOfNode is how many topics one node keeps of another; where more are heard, it is sent
// whatever is published.
const topicsOfNode = 1 << 16

// topics is what is heard here, who was told, and what is heard elsewhere.
type topics struct {
	mu   sync.Mutex
	own  map[actors.Topic]bool
	told map[*link]bool
	of   map[string]*audience // by node
}

// audience is what is heard on another node.
type audience struct {
	session string
	all     bool
	topics  map[actors.Topic]bool
	apart   bool // it is no peer, and may be one again: it says only once what it hears
}

var _ actors.Beyond = (*Remote)(nil)

// Heard implements actors.Beyond.
func (r *Remote) Heard(t actors.Topic, heard bool) {
	r.topics.mu.Lock()
	defer r.topics.mu.Unlock()
	m := &envelope.TopicUpdate{}
	one := []*envelope.Topic{{Tenant: t.Tenant, Name: t.Name}}
	if heard {
		if r.topics.own == nil {
			r.topics.own = map[actors.Topic]bool{}
		}
		r.topics.own[t], m.Heard = true, one
	} else {
		delete(r.topics.own, t)
		m.Left = one
	}
	for l := range r.topics.told {
		l.tell(m)
	}
}

// introduce tells a node all, and from then on what changes.
func (t *topics) introduce(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &envelope.TopicUpdate{First: true, All: len(t.own) > topicsOfNode}
	if !m.All {
		for topic := range t.own {
			m.Heard = append(m.Heard, &envelope.Topic{Tenant: topic.Tenant, Name: topic.Name})
		}
	}
	if t.told == nil {
		t.told = map[*link]bool{}
	}
	t.told[l] = true
	l.tell(m)
}

// part is called when a node hears nothing of this one any more.
func (t *topics) part(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.told, l)
}

// update takes what another node says.
func (t *topics) update(from asker, m *envelope.TopicUpdate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.of[from.node]
	switch {
	case m.First:
		a = &audience{session: from.session, all: m.All, topics: map[actors.Topic]bool{}}
		if t.of == nil {
			t.of = map[string]*audience{}
		}
		t.of[from.node] = a
	case a == nil || a.session != from.session:
		return // it has been forgotten meanwhile, or says this before its first
	}
	a.hears(m.Heard)
	for _, topic := range m.Left {
		delete(a.topics, actors.Topic{Tenant: topic.GetTenant(), Name: topic.GetName()})
	}
}

// hears adds topics. To one whose names are not valid nobody can publish: it would only take room.
func (a *audience) hears(all []*envelope.Topic) {
	for _, each := range all {
		topic := actors.Topic{Tenant: each.GetTenant(), Name: each.GetName()}
		if a.all || topic.Valid() != nil {
			continue
		}
		if a.topics[topic] = true; len(a.topics) > topicsOfNode {
			a.all, a.topics = true, map[actors.Topic]bool{}
		}
	}
}

// forget leaves only nodes that are peers, and of others what they have said that are connected.
func (t *topics) forget(isPeer, isConnected func(string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for node, a := range t.of {
		if a.apart = !isPeer(node); a.apart && !isConnected(node) {
			delete(t.of, node)
		}
	}
}

// nodes where a topic is heard, sorted.
func (t *topics) nodes(topic actors.Topic) (all []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for node, a := range t.of {
		if !a.apart && (a.all || a.topics[topic]) {
			all = append(all, node)
		}
	}
	slices.Sort(all)
	return all
}

// Publish implements actors.Beyond. A node that is not reached is among the refused, as a cell
// without a name.
func (r *Remote) Publish(ctx context.Context, t actors.Topic, id actors.ID, principal string, v cell.Value) (p actors.Published) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, node := range r.topics.nodes(t) {
		all.Go(func() {
			there := r.publishAt(ctx, node, t, id, principal, v)
			mu.Lock()
			defer mu.Unlock()
			p.Delivered += there.Delivered
			p.Refused = append(p.Refused, there.Refused...)
		})
	}
	all.Wait()
	slices.SortFunc(p.Refused, func(a, b actors.Refusal) int { return strings.Compare(a.Cell.Name, b.Cell.Name) })
	return p
}

func (r *Remote) publishAt(ctx context.Context, node string, t actors.Topic, id actors.ID, principal string, v cell.Value) (p actors.Published) {
	fail := func(err error) actors.Published {
		p.Refused = append(p.Refused, actors.Refusal{Cell: actors.Address{Tenant: t.Tenant}, Err: err})
		return p
	}
	l, err := r.link(node)
	if err != nil {
		return fail(err)
	}
	m := &envelope.CellEnvelope{
		Id: id[:], Tenant: t.Tenant, Principal: principal,
		Body: &envelope.CellEnvelope_Publish{Publish: &envelope.Publish{Topic: t.Name, Value: valueToWire(v)}},
	}
	if err := checkTexts(m); err != nil {
		return fail(err)
	}
	reply, _, err := l.ask(ctx, m, time.Time{}, attempt{})
	if err != nil {
		return fail(err)
	}
	p = published(reply)
	if e := errorFromWire(reply.Error); e != nil {
		return fail(e)
	}
	return p
}

// published decodes an answer.
func published(reply *envelope.CellReply) (p actors.Published) {
	p.Delivered = int(min(reply.GetPublished().GetDelivered(), 1<<31))
	for _, each := range reply.GetPublished().GetRefused() {
		e := errorFromWire(each.GetError())
		if e == nil {
			e = cell.Errorf(cell.KindUnknown, "it did not take it")
		}
		p.Refused = append(p.Refused, actors.Refusal{Cell: actors.Address{Tenant: each.GetTenant(), Name: each.GetName()}, Err: e})
	}
	return p
}

// refusals is how many cells an answer names that did not take a message.
const refusals = 100

// publishHere does what another node published.
func (r *Remote) publishHere(ctx context.Context, m *envelope.CellEnvelope, p *envelope.Publish) (wait func() *envelope.CellReply) {
	v, err := valueFromWire(p.GetValue())
	topic := actors.Topic{Tenant: m.Tenant, Name: p.GetTopic()}
	if err == nil {
		err = topic.Valid()
	}
	var id actors.ID
	if err == nil {
		id, err = idFromWire(m.Id)
	}
	if err != nil {
		return func() *envelope.CellReply { return toReply(nil, actors.Reply{Err: err}) }
	}
	done := r.config.System.PublishHere(ctx, topic, id, m.Principal, v)
	return func() *envelope.CellReply {
		here := done()
		there := &envelope.Published{Delivered: uint64(here.Delivered)}
		for _, each := range here.Refused[:min(len(here.Refused), refusals)] {
			there.Refused = append(there.Refused, &envelope.Refusal{Tenant: each.Cell.Tenant, Name: each.Cell.Name, Error: errorToWire(each.Err)})
		}
		return &envelope.CellReply{Published: there}
	}
}
