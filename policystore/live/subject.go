package live

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// subject is a policy that somebody follows. Parsing and compiling it is under a mutex of its
// own, so that it holds up nobody else's. Who holds that may take the reloader's, not the other
// way round.
type subject struct {
	name string

	// The reloader's mu guards these.
	users  int             // followers, and those about to be some
	wants  map[string]bool // host names of its meanings
	todo   todo
	atWork bool // there is a goroutine for todo
	look   look
	looks  bool // there is a goroutine for look

	mu        sync.Mutex
	newest    uint64
	deleted   bool
	document  *document.Document // nil before the first version, and where err is
	err       error
	meanings  map[string]meaning // of the newest, by sandbox
	followers map[*Followed]struct{}
}

// todo is what has happened to a subject.
type todo struct {
	version *policystore.Version // the newest that came
	moved   bool                 // addresses of its names
	retry   bool                 // what failed may work by now
}

// look is which names of a subject are to be looked up: those never found, or all.
type look struct{ missing, all bool }

// meaning is what the newest version is for one sandbox.
type meaning struct {
	compiled *document.Compiled
	withheld *document.Compiled // for cells that are too weak for it; nil: none can be
	// names and what they were taken for: also where there is an err, which other addresses
	// may mend.
	names    []string
	resolved map[string][]netip.Addr
	outdated bool
	err      error
}

// take makes v the newest version, and reports false where it is known already.
func (s *subject) take(v policystore.Version) bool {
	if v.Number <= s.newest {
		return false
	}
	s.newest, s.deleted, s.meanings = v.Number, v.Deleted, map[string]meaning{}
	if !v.Deleted {
		s.document, s.err = document.Parse(v.Name, v.Text)
	}
	return true
}

// mean compiles the newest version for a sandbox, once for the addresses of its names.
func (r *Reloader) mean(s *subject, sandbox string) meaning {
	m, known := s.meanings[sandbox]
	if known && !m.outdated {
		return m
	}
	m = meaning{names: m.names, err: s.err}
	if m.err == nil && s.document == nil {
		m.err = policystore.ErrNotFound // its first version that was seen is a deletion
	}
	if m.err == nil {
		m.err = r.compile(s.document, sandbox, &m)
	}
	if m.err != nil {
		m.compiled, m.err = nil, fmt.Errorf("version %d of policy %s: %w", s.newest, s.name, m.err)
	}
	s.meanings[sandbox] = m
	return m
}

func (r *Reloader) compile(d *document.Document, sandbox string, m *meaning) (err error) {
	for {
		m.resolved, _ = r.names.known(m.names)
		m.compiled, err = d.Compile(sandbox, document.Options{Keys: r.options.Keys, Resolve: m.resolved})
		if err != nil {
			return err
		}
		if slices.Equal(m.compiled.Names, m.names) {
			break
		}
		m.names = m.compiled.Names // learnt by compiling without
	}
	if m.compiled.Backend != "" {
		m.withheld = m.compiled.Withhold()
	}
	return nil
}

// outdate has those sandboxes compiled again whose names stand for something else by now, and
// reports whether there are any.
func (r *Reloader) outdate(s *subject) (is bool) {
	for sandbox, m := range s.meanings {
		if now, _ := r.names.known(m.names); !maps.EqualFunc(now, m.resolved, slices.Equal) {
			m.outdated, is = true, true
			s.meanings[sandbox] = m
		}
	}
	return is
}

// publish offers each follower what the newest version is for it, until no name has moved
// meanwhile.
func (r *Reloader) publish(s *subject) {
	for again := true; again; again = r.outdate(s) {
		for f := range s.followers {
			r.offer(s, f)
		}
		for _, sandbox := range slices.Collect(maps.Keys(s.meanings)) {
			r.mean(s, sandbox) // one that only somebody who is about to follow has
		}
		r.want(s)
	}
}

func (r *Reloader) offer(s *subject, f *Followed) {
	if s.deleted {
		f.orphan(s.newest)
		return
	}
	f.offer(s.newest, Revision{Policy: s.name, Version: s.newest}, r.mean(s, f.sandbox))
}

// want makes known which names the subject is to be told of.
func (r *Reloader) want(s *subject) {
	names := map[string]bool{}
	for _, m := range s.meanings {
		for _, name := range m.names {
			names[name] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.wants = names
}

// work does what there is to do for a subject until there is nothing.
func (r *Reloader) work(s *subject) {
	for {
		todo := r.todo(s)
		if todo == nil {
			return
		}
		s.mu.Lock()
		newer := todo.version != nil && s.take(*todo.version)
		if newer || todo.moved && r.outdate(s) {
			r.publish(s)
		}
		if todo.retry {
			for f := range s.followers {
				f.retry()
			}
		}
		s.mu.Unlock()
		if newer {
			r.lookUp(s, look{missing: true})
		}
	}
}

func (r *Reloader) todo(s *subject) *todo {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := s.todo
	s.todo = todo{}
	s.atWork = next != todo{} && !r.closed
	if !s.atWork {
		return nil
	}
	return &next
}

// lookUps looks up what is wanted of a subject's names until that is nothing.
func (r *Reloader) lookUps(s *subject) {
	for {
		r.mu.Lock()
		which, list := s.look, slices.Sorted(maps.Keys(s.wants))
		s.look, s.looks = look{}, which != look{} && !r.closed
		goes := s.looks
		r.mu.Unlock()
		if !goes {
			return
		}
		if !which.all {
			_, list = r.names.known(list)
		}
		r.names.lookUp(r.ctx, owner(s.name), list, false)
	}
}
