package trace_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/logged"
	"github.com/pyisolate/pyisolate/telemetry/trace"
	"github.com/pyisolate/pyisolate/telemetry/trace/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func start(t *testing.T, c trace.Config) *trace.Tracer {
	t.Helper()
	tracer, err := trace.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func end(t *testing.T, tracer *trace.Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := tracer.Close(ctx); err != nil {
		t.Error(err)
	}
}

// A client's trace goes on in the node's spans, one within the other.
func TestSpans(t *testing.T) {
	collector := tracetest.New(t)
	tracer := start(t, trace.Config{Endpoint: collector.URL})
	ctx := trace.Extract(t.Context(), http.Header{"Traceparent": {parent}})
	ctx, outer := tracer.Serve(ctx, "call")
	if id := trace.ID(ctx); id != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace %s", id)
	}
	inner, one := tracer.Start(ctx, "step")
	one.Text("said", "a\nforged "+strings.Repeat("x", 4096))
	one.Number("n", 3)
	one.End(cell.Errorf(cell.Busy, "the guest's words"))
	outer.End(nil)
	end(t, tracer)
	call, _ := collector.Find("0af7651916cd43dd8448eb211c80319c", "call")
	step, ok := collector.Find(call.Trace, "step")
	if call.Parent != "b7ad6b7169203331" || !ok || step.Parent != call.ID || call.Failed || !step.Failed {
		t.Errorf("call %+v, step %+v", call, step)
	}
	if said := step.Texts["said"]; !strings.HasPrefix(said, "a forged ") || len(said) > 1024 || step.Texts["error.type"] != "Busy" {
		t.Errorf("texts %q", step.Texts)
	}
	if p := trace.Parent(inner); !strings.Contains(p, step.ID) {
		t.Errorf("parent %s of what is within %s", p, step.ID)
	}
}

// What a client does not trace is not traced here; what it did not decide, the ratio does.
func TestSampling(t *testing.T) {
	collector := tracetest.New(t)
	tracer := start(t, trace.Config{Endpoint: collector.URL, Ratio: 1e-18})
	not := trace.Extract(t.Context(), http.Header{"Traceparent": {strings.TrimSuffix(parent, "01") + "00"}})
	for _, ctx := range []context.Context{not, t.Context()} {
		_, s := tracer.Start(ctx, "x")
		s.End(nil)
	}
	end(t, tracer)
	if got := collector.Spans(); len(got) != 0 {
		t.Errorf("spans %+v", got)
	}
}

// A collector that is away costs spans, and no time of who makes them.
func TestCollectorIsAway(t *testing.T) {
	var log logged.Text // written by whoever exports, also when its tracer is closed already
	before := goleak.IgnoreCurrent()
	tracer := start(t, trace.Config{Endpoint: "http://127.0.0.1:1", Timeout: 50 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 10000 {
		_, s := tracer.Start(t.Context(), "x")
		s.End(nil)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_ = tracer.Close(ctx) // whatever comes of it
	await.That(t, "what it has begun to send is given up", func() bool { return goleak.Find(before) == nil })
	if n := strings.Count(log.String(), "\n"); n > 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func TestOff(t *testing.T) {
	tracer := start(t, trace.Config{})
	if tracer != nil {
		t.Fatal("it is on")
	}
	ctx := trace.Extract(t.Context(), http.Header{"Traceparent": {parent}})
	ctx, s := tracer.Start(ctx, "x")
	s.Text("a", "b")
	s.End(errors.New("x"))
	if trace.Parent(ctx) != parent || trace.ID(ctx) == "" {
		t.Errorf("the client's trace is lost: %q", trace.Parent(ctx))
	}
	end(t, tracer)
	if got := trace.Parent(trace.Within(t.Context(), parent)); got != parent {
		t.Errorf("within: %q", got)
	}
	for _, bad := range []string{"", "nonsense", "00-0-0-0", "00-00000000000000000000000000000000-b7ad6b7169203331-01", parent + "\r\nX: y"} {
		if got := trace.ID(trace.Within(t.Context(), bad)); got != "" {
			t.Errorf("%q is trace %q", bad, got)
		}
		if got := trace.ID(trace.Extract(t.Context(), http.Header{"Traceparent": {bad}})); got != "" {
			t.Errorf("header %q is trace %q", bad, got)
		}
	}
}

func TestValidate(t *testing.T) {
	err := trace.Config{Endpoint: "collector:4318", Ratio: 2, Timeout: -1}.Validate()
	for _, want := range []string{"endpoint", "ratio", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in %v", want, err)
		}
	}
	if err := (trace.Config{Endpoint: "https://c:4318/v1/traces", Ratio: 0.5}).Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(parent)
	f.Fuzz(func(t *testing.T, header string) {
		ctx := trace.Extract(context.Background(), http.Header{"Traceparent": {header}})
		if p := trace.Parent(ctx); p != "" && (len(p) != len(parent) || trace.ID(ctx) == "") {
			t.Errorf("%q is parent %q", header, p)
		}
	})
}

// Off: what a call costs that is not traced.
func BenchmarkOff(b *testing.B) {
	var tracer *trace.Tracer
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		ctx, s := tracer.Start(ctx, "cell.exec")
		s.Text("pyisolate.cell", "c")
		s.End(nil)
		_ = ctx
	}
}

// TestOffAllocatesNothing holds the benchmark's promise.
func TestOffAllocatesNothing(t *testing.T) {
	var tracer *trace.Tracer
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		ctx, s := tracer.Start(ctx, "cell.exec")
		s.Text("pyisolate.cell", "c")
		s.Number("n", 1)
		s.End(nil)
		_ = trace.Extract(ctx, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
