// Package captest opens a session for the tests of a capability and keeps the
// evidence that its requests leave.
package captest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Session is a capability.Session with its broker and evidence.
type Session struct {
	*capability.Session
	Broker *capability.Broker
	*Ledger
	t testing.TB
}

// Ledger is a Recorder that keeps everything.
type Ledger struct {
	mu      sync.Mutex
	records []capability.Record
	denials []capability.Denial
}

// Denied keeps d.
func (l *Ledger) Denied(d capability.Denial) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.denials = append(l.denials, d)
}

// Record keeps r.
func (l *Ledger) Record(r capability.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

// Records returns what was recorded.
func (l *Ledger) Records() []capability.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.records)
}

// Denials returns the refusals.
func (l *Ledger) Denials() []capability.Denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.denials)
}

// Open registers the capabilities and opens a session with the grants, written as
// on the command line. Both are closed with the test.
func Open(t testing.TB, known map[string]capability.Capability, grants ...string) *Session {
	t.Helper()
	s := &Session{Ledger: new(Ledger), t: t}
	s.Broker = capability.New(capability.Config{Recorder: s.Ledger})
	t.Cleanup(func() {
		if err := s.Broker.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for name, c := range known {
		if err := s.Broker.Register(name, c); err != nil {
			t.Fatal(err)
		}
	}
	s.Session = s.As("acme", "cell-1", grants...)
	return s
}

// As opens another session of the same broker.
func (s *Session) As(tenant, cell string, grants ...string) *capability.Session {
	s.t.Helper()
	session, err := s.TryAs(tenant, cell, grants...)
	if err != nil {
		s.t.Fatal(err)
	}
	return session
}

// TryAs is As for grants that may be refused.
func (s *Session) TryAs(tenant, cell string, grants ...string) (*capability.Session, error) {
	parsed, err := capability.ParseGrants(grants)
	if err != nil {
		return nil, err
	}
	return s.Broker.Open(capability.Identity{Tenant: tenant, Cell: cell}, capability.Policy{Version: 1, Grants: parsed})
}

// Ask sends a request whose payload is the JSON text, or no payload if it is "".
func (s *Session) Ask(name, action, payload string) (capability.Value, error) {
	return Ask(s.Session, name, action, payload)
}

// Ask is the same for any session.
func Ask(s *capability.Session, name, action, payload string) (capability.Value, error) {
	return s.Do(context.Background(), capability.Request{Capability: name, Action: action,
		Payload: capability.Value{Type: capability.JSON, Data: []byte(payload)}})
}

// JSON encodes what a test knows to be encodable.
func JSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// Want fails the test unless err is of the kind and says each of the texts.
func Want(t testing.TB, err error, k capability.Kind, says ...string) {
	t.Helper()
	_ = Error(t, err, k, says...)
}

// Error is Want, and returns the error.
func Error(t testing.TB, err error, k capability.Kind, says ...string) *capability.Error {
	t.Helper()
	var e *capability.Error
	if !errors.As(err, &e) || e.Kind != k {
		t.Fatalf("error is %v, want %s", err, k)
	}
	for _, text := range says {
		if !strings.Contains(e.Message+" "+e.Rule, text) {
			t.Errorf("error %q (rule %q) does not say %q", e.Message, e.Rule, text)
		}
	}
	return e
}
