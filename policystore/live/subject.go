package live

import (
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// subject is a policy that somebody follows. The reloader's mu guards it.
type subject struct {
	name      string
	newest    uint64
	deleted   bool
	document  *document.Document // nil before the first version, and where err is
	err       error
	meanings  map[string]meaning // of the newest, by sandbox
	followers map[*Followed]struct{}
}

// meaning is what the newest version is for one sandbox.
type meaning struct {
	compiled *document.Compiled
	missing  []string // host names without addresses
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

// mean compiles the newest version for a sandbox, once.
func (r *Reloader) mean(s *subject, sandbox string) meaning {
	if m, ok := s.meanings[sandbox]; ok {
		return m
	}
	m := meaning{err: s.err}
	if m.err == nil && s.document == nil {
		m.err = policystore.ErrNotFound // its first version that was seen is a deletion
	}
	if m.err == nil {
		m.compiled, m.err = s.document.Compile(sandbox, document.Options{Keys: r.options.Keys})
	}
	if m.err == nil && len(m.compiled.Names) > 0 {
		known, missing := r.names.known(m.compiled.Names)
		m.missing = missing
		m.compiled, m.err = s.document.Compile(sandbox, document.Options{Keys: r.options.Keys, Resolve: known})
	}
	if m.err != nil {
		m = meaning{err: fmt.Errorf("version %d of policy %s: %w", s.newest, s.name, m.err)}
	}
	s.meanings[sandbox] = m
	return m
}

// publish offers each follower what the newest version is for it.
func (r *Reloader) publish(s *subject) {
	for f := range s.followers {
		r.offer(s, f)
	}
}

// offer is called under mu, like publish.
func (r *Reloader) offer(s *subject, f *Followed) {
	if r.closed { // and waits for those at work
		return
	}
	if s.deleted {
		f.orphan(s.newest)
		return
	}
	f.offer(s.newest, Revision{Policy: s.name, Version: s.newest}, r.mean(s, f.sandbox))
}

// hosts are the names that the sandboxes which somebody follows permit.
func (s *subject) hosts() (list []string) {
	for _, m := range s.meanings {
		if m.compiled != nil {
			list = append(list, m.compiled.Names...)
		}
	}
	return list
}

// moved reports whether a sandbox has one of the names, and has it compiled again if so.
func (s *subject) moved(changed []string) (is bool) {
	for sandbox, m := range s.meanings {
		if m.compiled == nil {
			continue
		}
		if slices.ContainsFunc(m.compiled.Names, func(name string) bool { return slices.Contains(changed, name) }) {
			delete(s.meanings, sandbox)
			is = true
		}
	}
	return is
}
