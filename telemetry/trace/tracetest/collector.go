// Package tracetest is a collector of OpenTelemetry's traces, for tests: it speaks OTLP over HTTP,
// and keeps what it gets.
package tracetest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that was exported. IDs are hexadecimal; Parent is "" for a root.
type Span struct {
	Name, Trace, ID, Parent string
	Texts                   map[string]string
	Failed                  bool
}

// Collector serves until the test ends.
type Collector struct {
	// URL is its address, without a path.
	URL string

	mu    sync.Mutex
	spans []Span
}

// New starts a collector.
func New(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{}
	s := httptest.NewServer(c)
	tb.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not a trace", http.StatusBadRequest)
		return
	}
	c.keep(&sent)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *Collector) keep(sent *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				one := Span{Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
					Parent: hex.EncodeToString(s.GetParentSpanId()), Texts: map[string]string{}, Failed: s.GetStatus().GetCode() == 2}
				for _, a := range s.GetAttributes() {
					one.Texts[a.GetKey()] = a.GetValue().GetStringValue()
				}
				c.spans = append(c.spans, one)
			}
		}
	}
}

// Spans are those so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Find returns the first of a name in a trace.
func (c *Collector) Find(trace, name string) (Span, bool) {
	for _, s := range c.Spans() {
		if s.Trace == trace && s.Name == name {
			return s, true
		}
	}
	return Span{}, false
}
