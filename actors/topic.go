package actors

import (
	"context"
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

// topics says who hears what.
type topics struct {
	mu sync.Mutex
	of map[string]*tenantTopics
}

// tenantTopics is it both ways, so that nothing takes longer for what others hear.
type tenantTopics struct {
	cells  map[string]map[Address]bool // by topic
	topics map[Address]map[string]bool // by cell
}

func (t *topics) add(a Address, topic string) error {
	if err := validTopic(topic); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[a.Tenant]
	if own == nil {
		own = &tenantTopics{map[string]map[Address]bool{}, map[Address]map[string]bool{}}
	}
	switch cells, hears := own.cells[topic], own.topics[a]; {
	case hears[topic]:
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
	}
	if own.topics[a] == nil {
		own.topics[a] = map[string]bool{}
	}
	own.cells[topic][a], own.topics[a][topic] = true, true
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
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[a.Tenant]
	if own == nil {
		return
	}
	leaving := []string{topic}
	if topic == "" {
		leaving = slices.Collect(maps.Keys(own.topics[a]))
	}
	for _, name := range leaving {
		delete(own.cells[name], a)
		if len(own.cells[name]) == 0 {
			delete(own.cells, name)
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

func (t *topics) hear(tenant, topic string) []Address {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.of[tenant]; own != nil {
		return slices.Collect(maps.Keys(own.cells[topic]))
	}
	return nil
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
func (s *System) Subscribe(a Address, topic string) error {
	if _, there := s.directory.Lookup(a); !there {
		return s.noSuchCell(a)
	}
	if err := s.topics.add(a, topic); err != nil {
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

// Publish puts a message into the inbox of every cell that hears the topic. It waits for none
// longer than the context lasts, and a cell that takes nothing does not hold up the others.
func (s *System) Publish(ctx context.Context, tenant, topic, principal string, v cell.Value) (Published, error) {
	if err := validTopic(topic); err != nil {
		return Published{}, err
	}
	var p Published
	type sent struct {
		to  Address
		req *request
		at  Entry
	}
	var all []sent
	for _, to := range s.topics.hear(tenant, topic) {
		env := Envelope{To: to, Principal: principal, Body: Post{v}}
		req, at, err := s.submit(ctx, env)
		if err != nil {
			p.Refused = append(p.Refused, Refusal{to, err})
			continue
		}
		all = append(all, sent{to, req, at})
	}
	for _, each := range all {
		if err := each.req.wait(each.at.gone).Err; err != nil {
			p.Refused = append(p.Refused, Refusal{each.to, err})
		} else {
			p.Delivered++
		}
	}
	slices.SortFunc(p.Refused, func(a, b Refusal) int { return strings.Compare(a.Cell.Name, b.Cell.Name) })
	return p, nil
}
