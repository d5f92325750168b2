package actors

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/pyisolate/pyisolate/cell"
)

// Topic names match this.
var topicRE = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

const (
	topicsOfCell   = 64
	cellsOfATopic  = 4096
	topicsOfTenant = 4096
)

// Topic of a tenant.
type Topic struct{ Tenant, Name string }

// Valid says why there can be no such topic, or nil.
func (t Topic) Valid() error {
	if err := cell.ValidName("tenant", t.Tenant); err != nil {
		return err
	}
	return validTopic(t.Name)
}

// Beyond is how a System reaches cells of other nodes that hear a topic.
type Beyond interface {
	// Heard says that a topic is heard on this node from now on, or not any more. Its calls are in
	// the order of what happens, and must not block.
	Heard(t Topic, heard bool)
	// Publish is as that of System, for the other nodes; it is called by many goroutines at once. By
	// the id a cell that moves meanwhile, and so hears it on both nodes, takes it once. What it took before its move
	// it may take again, if the message gets to the node that it moves to, for others there, later than the cell does.
	Publish(ctx context.Context, t Topic, id ID, principal string, v cell.Value) Published
}

// SetBeyond joins a System to those of other nodes, whose way is told at once what is heard
// here. With nil they part.
func (s *System) SetBeyond(b Beyond) {
	t := &s.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	t.beyond = b
	if b == nil {
		return
	}
	for tenant, own := range t.of {
		for name := range own.cells {
			b.Heard(Topic{tenant, name}, true)
		}
	}
}

// topics says who hears what.
type topics struct {
	mu     sync.Mutex
	of     map[string]*tenantTopics
	beyond Beyond
}

// heard is called with mu held.
func (t *topics) heard(tenant, name string, heard bool) {
	if t.beyond != nil {
		t.beyond.Heard(Topic{tenant, name}, heard)
	}
}

// tenantTopics is it both ways, so that nothing takes longer for what others hear.
type tenantTopics struct {
	cells  map[string]map[Address]bool   // by topic
	topics map[Address]map[string]origin // by cell
}

// origin is why a cell hears a topic.
type origin bool

const (
	given  origin = false // by who spawned it
	chosen origin = true  // it subscribed itself, which it may as long as its grants say so
)

// add leaves a topic that is given already as it is.
func (t *topics) add(a Address, topic string, by origin) error {
	if err := validTopic(topic); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[a.Tenant]
	if own == nil {
		own = &tenantTopics{map[string]map[Address]bool{}, map[Address]map[string]origin{}}
	}
	switch cells, hears := own.cells[topic], own.topics[a]; {
	case cells[a]:
		hears[topic] = hears[topic] && by
		return nil
	case len(hears) == topicsOfCell:
		return cell.Errorf(cell.Invalid, "cell %s hears %d topics already, which is the most", a, len(hears))
	case len(cells) == cellsOfATopic:
		return cell.Errorf(cell.Busy, "topic %s has %d cells already, which is the most", topic, cellsOfATopic)
	case cells == nil && len(own.cells) == topicsOfTenant:
		return cell.Errorf(cell.Busy, "tenant %s has %d topics already, which is the most", a.Tenant, topicsOfTenant)
	}
	if t.of == nil {
		t.of = map[string]*tenantTopics{}
	}
	t.of[a.Tenant] = own
	if own.cells[topic] == nil {
		own.cells[topic] = map[Address]bool{}
		t.heard(a.Tenant, topic, true)
	}
	if own.topics[a] == nil {
		own.topics[a] = map[string]origin{}
	}
	own.cells[topic][a], own.topics[a][topic] = true, by
	return nil
}

func validTopic(topic string) error {
	if topicRE.MatchString(topic) {
		return nil
	}
	return cell.Errorf(cell.Invalid, "topic %.128q is not valid: use 1 to 128 letters, digits, '_', '-' or '.'", topic)
}

// remove takes a cell from a topic, or with "" from all.
func (t *topics) remove(a Address, topic string) {
	t.removeIf(a, func(name string, _ origin) bool { return topic == "" || name == topic })
}

func (t *topics) removeIf(a Address, leaves func(topic string, by origin) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[a.Tenant]
	if own == nil {
		return
	}
	for name, by := range own.topics[a] {
		if !leaves(name, by) {
			continue
		}
		delete(own.cells[name], a)
		if len(own.cells[name]) == 0 {
			delete(own.cells, name)
			t.heard(a.Tenant, name, false)
		}
		delete(own.topics[a], name)
	}
	if len(own.topics[a]) == 0 {
		delete(own.topics, a)
	}
	if len(own.topics) == 0 {
		delete(t.of, a.Tenant)
	}
}

// hear returns who hears a topic here, and the way to who hears it elsewhere, if there is one.
func (t *topics) hear(tenant, topic string) (here []Address, b Beyond) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.of[tenant]; own != nil {
		here = slices.Collect(maps.Keys(own.cells[topic]))
	}
	return here, t.beyond
}

// Topics are what a cell hears, sorted.
func (s *System) Topics(a Address) []string {
	s.topics.mu.Lock()
	defer s.topics.mu.Unlock()
	if own := s.topics.of[a.Tenant]; own != nil {
		return slices.Sorted(maps.Keys(own.topics[a]))
	}
	return nil
}

// Subscribe has a cell hear a topic of its tenant: what is published comes into its inbox. It
// ends with the cell's name.
func (s *System) Subscribe(a Address, topic string) error { return s.subscribe(a, topic, given) }

func (s *System) subscribe(a Address, topic string, by origin) error {
	if at, there := s.directory.Lookup(a); !there {
		return s.noSuchCell(a)
	} else if at.PID == nil {
		return cell.Errorf(cell.Invalid, "cell %s is on another node; have it subscribe itself", a)
	}
	if err := s.topics.add(a, topic, by); err != nil {
		return err
	}
	if _, there := s.directory.Lookup(a); !there { // it left meanwhile
		s.topics.remove(a, "")
		return s.noSuchCell(a)
	}
	return nil
}

// Unsubscribe is the opposite. It is no error when the cell did not hear it.
func (s *System) Unsubscribe(a Address, topic string) { s.topics.remove(a, topic) }

// narrow ends what a cell subscribed to itself and is not among those that it may hear now.
func (s *System) narrow(a Address, to []string) {
	s.topics.removeIf(a, func(topic string, by origin) bool { return by == chosen && !slices.Contains(to, topic) })
}

// Published is what became of a message to a topic.
type Published struct {
	// Delivered is in how many inboxes it is; Refused names the cells that did not take it,
	// and why, ordered by name.
	Delivered int
	Refused   []Refusal
}

// Refusal is a cell that did not take a message.
type Refusal struct {
	Cell Address
	Err  error
}

// Publish puts a message into the inbox of every cell that hears the topic, on all nodes. It waits
// for none longer than the context lasts, and a cell that takes nothing does not hold up the
// others.
func (s *System) Publish(ctx context.Context, tenant, topic, principal string, v cell.Value) (Published, error) {
	if err := validTopic(topic); err != nil {
		return Published{}, err
	}
	here, beyond := s.topics.hear(tenant, topic)
	id := NewID()
	wait := s.publish(ctx, here, id, principal, v)
	if beyond == nil {
		return wait(), nil
	}
	p := beyond.Publish(ctx, Topic{tenant, topic}, id, principal, v)
	own := wait()
	p.Delivered += own.Delivered
	p.Refused = append(p.Refused, own.Refused...)
	p.sort()
	return p, nil
}

// PublishHere is Publish for the cells of this node, and returns at once; wait returns what became
// of it, and is called once at the most.
func (s *System) PublishHere(ctx context.Context, t Topic, id ID, principal string, v cell.Value) (wait func() Published) {
	here, _ := s.topics.hear(t.Tenant, t.Name)
	return s.publish(ctx, here, id, principal, v)
}

func (s *System) publish(ctx context.Context, to []Address, id ID, principal string, v cell.Value) (wait func() Published) {
	var p Published
	type asked struct {
		of   Address
		wait func() Reply
	}
	all := make([]asked, len(to))
	for i, a := range to {
		all[i] = asked{a, s.Begin(ctx, Envelope{ID: id, To: a, Principal: principal, Body: Post{v}, news: true})}
	}
	return func() Published {
		for _, each := range all {
			if err := each.wait().Err; errors.Is(err, ErrMoved) {
				continue // it hears it where it is
			} else if err != nil {
				p.Refused = append(p.Refused, Refusal{each.of, err})
			} else {
				p.Delivered++
			}
		}
		p.sort()
		return p
	}
}

func (p *Published) sort() {
	slices.SortFunc(p.Refused, func(a, b Refusal) int { return strings.Compare(a.Cell.Name, b.Cell.Name) })
}
