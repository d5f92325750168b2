package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	otel "go.opentelemetry.io/otel/trace"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Config of a [Tracer]. The zero value of a field is its default.
type Config struct {
	// Endpoint is the collector's, as https://collector:4318/v1/traces. A URL without a path has
	// /v1/traces. Empty: nothing is traced.
	Endpoint string
	// Headers go with each request, as a token of the collector's.
	Headers map[string]string
	// Ratio of traces that begin here and are kept: above 0, at most 1. Default 1. Of what a
	// client traces the client has decided.
	Ratio float64
	// Service is service.name; default pyisolate-node. Version is service.version, Instance
	// service.instance.id.
	Service, Version, Instance string
	// Timeout of one request. Default 10 s.
	Timeout time.Duration
	// Logger takes what the exporter cannot do, once a minute; nil discards it. The library knows
	// one for the whole process: the last tracer's.
	Logger *slog.Logger
}

// Validate reports all that is wrong.
func (c Config) Validate() error {
	var errs []error
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, errors.New("trace: the endpoint is no address: write http://HOST:4318 or https://HOST:4318"))
		}
	}
	if c.Ratio < 0 || c.Ratio > 1 {
		errs = append(errs, fmt.Errorf("trace: ratio %v: write a number above 0 and at most 1", c.Ratio))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("trace: timeout %s: write a positive duration", c.Timeout))
	}
	return errors.Join(errs...)
}

// Tracer makes spans. A nil one makes none.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   otel.Tracer
}

// New returns a tracer, nil where no endpoint is configured. It does not wait for the collector.
func New(ctx context.Context, c Config) (*Tracer, error) {
	if err := c.Validate(); err != nil || c.Endpoint == "" {
		return nil, err
	}
	u, _ := url.Parse(c.Endpoint) // valid
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	global.SetErrorHandler(newComplaints(c.Logger))
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithHeaders(c.Headers), otlptracehttp.WithTimeout(c.Timeout))
	if err != nil {
		return nil, fmt.Errorf("trace: export to %s: %w", u.Redacted(), err)
	}
	return newTracer(c, sdk.WithBatcher(exporter)), nil
}

func newTracer(c Config, processor sdk.TracerProviderOption) *Tracer {
	sampler := sdk.AlwaysSample()
	if c.Ratio > 0 && c.Ratio < 1 {
		sampler = sdk.TraceIDRatioBased(c.Ratio)
	}
	about := []attribute.KeyValue{attribute.String("service.name", orDefault(c.Service, "pyisolate-node"))}
	if c.Version != "" {
		about = append(about, attribute.String("service.version", c.Version))
	}
	if c.Instance != "" {
		about = append(about, attribute.String("service.instance.id", c.Instance))
	}
	p := sdk.NewTracerProvider(processor, sdk.WithSampler(sdk.ParentBased(sampler)), sdk.WithResource(resource.NewSchemaless(about...)),
		sdk.WithRawSpanLimits(sdk.SpanLimits{AttributeValueLengthLimit: 1024, AttributeCountLimit: 32, EventCountLimit: 32, LinkCountLimit: 8,
			AttributePerEventCountLimit: 8, AttributePerLinkCountLimit: 8}))
	return &Tracer{provider: p, tracer: p.Tracer("github.com/pyisolate/pyisolate")}
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// Close sends what has ended and waits for that until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("trace: close: %w", err)
	}
	return nil
}

// Start begins a span, a child of the context's, and returns the context for what is done within
// it. The name is a word of ours, never a guest's. The caller ends it.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, Span) {
	return t.start(ctx, name, otel.SpanKindInternal)
}

// Serve begins the span of a request from elsewhere.
func (t *Tracer) Serve(ctx context.Context, name string) (context.Context, Span) {
	return t.start(ctx, name, otel.SpanKindServer)
}

func (t *Tracer) start(ctx context.Context, name string, kind otel.SpanKind) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, s := t.tracer.Start(ctx, name, otel.WithSpanKind(kind))
	return ctx, Span{s}
}

// Span is something that takes time. The zero Span is none; its methods do nothing.
type Span struct{ of otel.Span }

// Text says something about it; values are cut at 1 KiB, and of one line.
func (s Span) Text(key, value string) {
	if s.of != nil && value != "" {
		s.of.SetAttributes(attribute.String(key, events.Text(value, 1024)))
	}
}

// Number says a number about it.
func (s Span) Number(key string, value int64) {
	if s.of != nil {
		s.of.SetAttributes(attribute.Int64(key, value))
	}
}

// End ends it, as failed with an error that is not nil. Only the error's kind is told where it has
// one: messages may have a guest's data.
func (s Span) End(err error) {
	if s.of == nil {
		return
	}
	if err != nil {
		kind := cell.KindOf(err).String()
		s.of.SetAttributes(attribute.String("error.type", kind))
		s.of.SetStatus(codes.Error, kind)
	}
	s.of.End()
}
