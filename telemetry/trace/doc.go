// Package trace follows one request through a node: from the client that sent a traceparent, or
// the API where there was none, to the actor of a cell, the operation in it, and what the guest
// asks the broker for meanwhile. Spans go to a collector by OTLP over HTTP.
//
// It is off unless an endpoint is configured: a nil *Tracer is one that is off. Then spans are
// empty values, and starting one allocates nothing. A client's trace goes on all the same where
// it is known (see [Extract]): logs, events and exemplars name it.
//
// Contexts carry the trace; it is W3C Trace Context on the wire. A guest cannot reach a span, and
// nothing that it says becomes the name of one, or an attribute that is not bounded.
//
// A Tracer has the goroutines of OpenTelemetry's batch processor, which Close ends. A collector
// that is slow or away costs spans and no time. All methods may be called from any goroutine.
package trace
