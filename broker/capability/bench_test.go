package capability_test

import (
	"context"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
)

func benchSession(b *testing.B, c capability.Capability) *capability.Session {
	broker := capability.New(capability.Config{})
	b.Cleanup(func() { _ = broker.Close(context.Background()) })
	if err := broker.Register("test", c); err != nil {
		b.Fatal(err)
	}
	s, err := broker.Open(someone, capability.Policy{Grants: []capability.Grant{{Capability: "test", Limits: capability.Limits{RPS: 1e6, Burst: 1e6}}}})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkDenied is the decision alone: no grant, so nothing runs.
func BenchmarkDenied(b *testing.B) {
	s := benchSession(b, echo)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Do(context.Background(), capability.Request{Capability: "fs.read", Action: "get"}); err == nil {
			b.Fatal("allowed")
		}
	}
}

// BenchmarkGranted is everything around a capability that does nothing, the
// goroutine of its own included.
func BenchmarkGranted(b *testing.B) {
	s := benchSession(b, capability.Func(func(_ context.Context, c *capability.Call) (capability.Value, error) { return c.Payload, nil }))
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.Do(context.Background(), capability.Request{Capability: "test", Action: "get"})
		if err != nil && capability.KindOf(err) != capability.Busy {
			b.Fatal(err)
		}
	}
}

// BenchmarkArguments is reading a small payload.
func BenchmarkArguments(b *testing.B) {
	c := &capability.Call{Request: capability.Request{Payload: capability.Value{Data: []byte(`{"path":"/srv/data/file.txt","offset":10}`)}}}
	b.ReportAllocs()
	for b.Loop() {
		var a struct {
			Path   string `json:"path"`
			Offset int64  `json:"offset"`
		}
		if _, err := c.Arguments(&a); err != nil {
			b.Fatal(err)
		}
	}
}
