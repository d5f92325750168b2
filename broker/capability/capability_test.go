package capability_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger is a Recorder that keeps everything, in order.
type ledger struct {
	mu      sync.Mutex
	denials []capability.Denial
	records []capability.Record
	order   []string
}

func (l *ledger) Denied(d capability.Denial) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.denials, l.order = append(l.denials, d), append(l.order, "denied")
}

func (l *ledger) Record(r capability.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.order = append(l.records, r), append(l.order, "record")
}

func (l *ledger) last(t *testing.T) capability.Record {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) == 0 {
		t.Fatal("nothing was recorded")
	}
	return l.records[len(l.records)-1]
}

type setup struct {
	*capability.Session
	broker *capability.Broker
	ledger *ledger
}

var someone = capability.Identity{Tenant: "acme", Cell: "c1"}

// open registers c as "test" and grants it with limits.
func open(t *testing.T, c capability.Capability, config capability.Config, l capability.Limits) setup {
	t.Helper()
	s := setup{ledger: &ledger{}}
	config.Recorder = s.ledger
	s.broker = capability.New(config)
	t.Cleanup(func() {
		if err := s.broker.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := s.broker.Register("test", c); err != nil {
		t.Fatal(err)
	}
	var err error
	s.Session, err = s.broker.Open(someone, capability.Policy{Version: 7, Grants: []capability.Grant{{Capability: "test", Rule: "p.yaml:3", Limits: l}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s setup) do(action string) (capability.Value, error) {
	return s.Do(context.Background(), capability.Request{Capability: "test", Action: action, Payload: capability.Null()})
}

var echo = capability.Func(func(_ context.Context, c *capability.Call) (capability.Value, error) {
	c.SetTarget("the target")
	return c.Payload, nil
})

func wantKind(t *testing.T, err error, k capability.Kind) {
	t.Helper()
	_ = errorOf(t, err, k)
}

func errorOf(t *testing.T, err error, k capability.Kind) *capability.Error {
	t.Helper()
	var e *capability.Error
	if !errors.As(err, &e) || e.Kind != k {
		t.Fatalf("error is %v, want %s", err, k)
	}
	return e
}

func TestAnAnsweredRequestIsRecorded(t *testing.T) {
	s := open(t, echo, capability.Config{}, capability.Limits{})
	v, err := s.Do(context.Background(), capability.Request{Capability: "test", Action: "get", Payload: capability.BytesValue([]byte("abc"))})
	if err != nil || string(v.Data) != "abc" {
		t.Fatal(v, err)
	}
	r := s.ledger.last(t)
	if r.Identity != someone || r.Capability != "test" || r.Action != "get" || r.Target != "the target" || r.Version != 7 ||
		r.Rule != "p.yaml:3" || r.Outcome != capability.OK || r.BytesIn != 3 || r.BytesOut != 3 || r.At.IsZero() || r.Duration < 0 {
		t.Errorf("record %+v", r)
	}
	if len(s.ledger.denials) != 0 {
		t.Error("a denial of an answered request")
	}
}

func TestADenialComesBeforeTheRecord(t *testing.T) {
	s := open(t, echo, capability.Config{}, capability.Limits{})
	_, err := s.Do(context.Background(), capability.Request{Capability: "fs.read", Action: "get\n\x1b[2J"})
	e := errorOf(t, err, capability.Denied)
	if e.Rule != capability.RuleNoGrant || e.Denial == nil || e.Denial.Cell != "c1" || e.Denial.Capability != "fs.read" {
		t.Errorf("error %+v, denial %+v", e, e.Denial)
	}
	if got := s.ledger.order; len(got) != 2 || got[0] != "denied" || got[1] != "record" {
		t.Errorf("order is %v", got)
	}
	if got := s.ledger.last(t).Action; got != "get··[2J" {
		t.Errorf("the guest wrote %q into the record", got)
	}
}

func TestBounds(t *testing.T) {
	s := open(t, capability.Func(func(_ context.Context, c *capability.Call) (capability.Value, error) {
		return capability.BytesValue(make([]byte, 100)), nil
	}), capability.Config{}, capability.Limits{PayloadBytes: 10, AnswerBytes: 99})
	for _, c := range []struct {
		name string
		r    capability.Request
		want capability.Kind
	}{
		{"payload", capability.Request{Action: "a", Payload: capability.BytesValue(make([]byte, 11))}, capability.TooLarge},
		{"answer", capability.Request{Action: "a", Payload: capability.BytesValue(make([]byte, 10))}, capability.TooLarge},
		{"no action", capability.Request{}, capability.Invalid},
		{"action", capability.Request{Action: "../x"}, capability.Invalid},
		{"content type", capability.Request{Action: "a", Payload: capability.Value{Type: 9}}, capability.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.Capability = "test"
			v, err := s.Do(context.Background(), c.r)
			wantKind(t, err, c.want)
			if r := s.ledger.last(t); r.Outcome != c.want || r.BytesOut != 0 || v.Data != nil {
				t.Errorf("record %+v, value %v", r, v)
			}
		})
	}
}

func TestTheRateIsHeldByTheClock(t *testing.T) {
	now := time.Unix(1000, 0)
	s := open(t, echo, capability.Config{Now: func() time.Time { return now }}, capability.Limits{RPS: 2, Burst: 3})
	for i := range 5 {
		if _, err := s.do("a"); (err == nil) != (i < 3) {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	wantKind(t, func() error { _, err := s.do("a"); return err }(), capability.Busy)
	now = now.Add(500 * time.Millisecond)
	if _, err := s.do("a"); err != nil {
		t.Error("half a second later:", err)
	}
	// An update with other grants must not refill the bucket.
	p := capability.Policy{Version: 8, Grants: []capability.Grant{{Capability: "test", Rule: "p.yaml:4", Limits: capability.Limits{RPS: 2, Burst: 3}}}}
	if err := s.Update(p); err != nil {
		t.Fatal(err)
	}
	wantKind(t, func() error { _, err := s.do("a"); return err }(), capability.Busy)
}

// gate is a capability whose calls wait until they are let go, or, if they are
// stubborn, even beyond the end of their context.
type gate struct {
	entered  chan struct{}
	letGo    chan struct{}
	stubborn bool
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 100), letGo: make(chan struct{})} }

func (g *gate) Do(ctx context.Context, c *capability.Call) (capability.Value, error) {
	g.entered <- struct{}{}
	if g.stubborn {
		<-g.letGo
		return c.Payload, nil
	}
	select {
	case <-g.letGo:
		return c.Payload, nil
	case <-ctx.Done():
		return capability.Value{}, ctx.Err()
	}
}

func (s setup) start() chan error {
	done := make(chan error, 1)
	go func() {
		_, err := s.do("wait")
		done <- err
	}()
	return done
}

func TestConcurrencyIsBound(t *testing.T) {
	for _, c := range []struct {
		name   string
		config capability.Config
		limits capability.Limits
	}{
		{"by the grant", capability.Config{}, capability.Limits{Concurrency: 2}},
		{"by the broker", capability.Config{ConcurrentCalls: 8}, capability.Limits{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate()
			s := open(t, g, c.config, c.limits)
			first, second := s.start(), s.start()
			<-g.entered
			<-g.entered
			_, err := s.do("wait")
			wantKind(t, err, capability.Busy)
			close(g.letGo)
			for _, done := range []chan error{first, second} {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if _, err := s.do("wait"); err != nil {
				t.Error("with room again:", err)
			}
		})
	}
}

func TestNothingIsDoneBehindTheFence(t *testing.T) {
	var closed atomic.Bool
	g := newGate()
	close(g.letGo)
	s := open(t, g, capability.Config{Fence: func() error {
		if closed.Load() {
			return errors.New("this node is cut off")
		}
		return nil
	}}, capability.Limits{})
	if _, err := s.do("wait"); err != nil {
		t.Fatal(err)
	}
	<-g.entered
	closed.Store(true)
	_, err := s.do("wait")
	wantKind(t, err, capability.Busy)
	if err.Error() == "" || !strings.Contains(err.Error(), "cut off") || len(g.entered) != 0 {
		t.Errorf("%v, and the capability was called %d times", err, len(g.entered))
	}
	if _, err := s.Do(context.Background(), capability.Request{Capability: "other", Action: "wait"}); capability.KindOf(err) != capability.Denied {
		t.Errorf("what is not granted: %v", err)
	}
	closed.Store(false)
	if _, err := s.do("wait"); err != nil {
		t.Error("with the fence open again:", err)
	}
}

func TestDeadlinesAndStubbornCapabilities(t *testing.T) {
	for _, stubborn := range []bool{false, true} {
		g := newGate()
		g.stubborn = stubborn
		s := open(t, g, capability.Config{}, capability.Limits{Timeout: time.Millisecond})
		_, err := s.do("wait")
		wantKind(t, err, capability.Timeout)
		close(g.letGo)
	}
	g := newGate()
	s := open(t, g, capability.Config{}, capability.Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-g.entered; cancel() }()
	_, err := s.Do(ctx, capability.Request{Capability: "test", Action: "wait"})
	wantKind(t, err, capability.Cancelled)
}

func TestAFaultIsTheNodesOwnBusiness(t *testing.T) {
	for name, f := range map[string]capability.Func{
		"panic":  func(context.Context, *capability.Call) (capability.Value, error) { panic("s3cret") },
		"index":  func(context.Context, *capability.Call) (capability.Value, error) { _ = []int{}[len(name(1))]; panic(1) },
		"goexit": func(context.Context, *capability.Call) (capability.Value, error) { runtime.Goexit(); panic(1) },
		"other error": func(context.Context, *capability.Call) (capability.Value, error) {
			return capability.Null(), errors.New("s3cret")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, f, capability.Config{}, capability.Limits{})
			_, err := s.do("a")
			if e := errorOf(t, err, capability.Internal); e.Message != "a fault of the node's; its log says more" {
				t.Errorf("the guest is told %q", e.Message)
			}
			if _, err := s.do("a"); capability.KindOf(err) != capability.Internal {
				t.Errorf("the second one: %v", err)
			}
			if name == "index" && s.ledger.last(t).Fault == "" {
				t.Error("the record does not say what happened")
			}
		})
	}
}

func name(n int) string { return "x"[:n] }

// scoped has a scope that tells when it is closed.
type scoped struct {
	*gate
	opened, closed chan string
}

type scope struct {
	name string
	of   scoped
}

func (s scope) Close() error { s.of.closed <- s.name; return nil }

func (s scoped) Scope(_ capability.Identity, raw json.RawMessage) (any, error) {
	var v struct {
		Names []string `json:"names"`
	}
	if err := capability.DecodeScope(raw, "names", &v); err != nil {
		return nil, err
	}
	if len(v.Names) == 0 {
		return nil, capability.Errorf(capability.Invalid, "name one")
	}
	s.opened <- v.Names[0]
	return scope{v.Names[0], s}, nil
}

func grantOf(version uint64, text ...string) capability.Policy {
	grants, err := capability.ParseGrants(text)
	if err != nil {
		panic(err)
	}
	return capability.Policy{Version: version, Grants: grants}
}

func TestUpdate(t *testing.T) {
	c := scoped{newGate(), make(chan string, 10), make(chan string, 10)}
	s := open(t, echo, capability.Config{}, capability.Limits{})
	if err := s.broker.Register("scoped", c); err != nil {
		t.Fatal(err)
	}
	update := func(p capability.Policy) {
		t.Helper()
		if err := s.Update(p); err != nil {
			t.Fatal(err)
		}
	}
	start := func() chan error {
		done := make(chan error, 1)
		go func() {
			_, err := s.Do(context.Background(), capability.Request{Capability: "scoped", Action: "wait", Payload: capability.Null()})
			done <- err
		}()
		<-c.entered
		return done
	}

	update(grantOf(8, "scoped=a"))
	call := start()

	update(grantOf(9, `scoped={"rps":5,"names":["a"]}`)) // another text: another scope
	e := errorOf(t, <-call, capability.Denied)
	if e.Rule != "policy version 9" || e.Denial == nil {
		t.Errorf("rule %q", e.Rule)
	}
	if got := <-c.closed; got != "a" {
		t.Errorf("closed %q", got)
	}

	call = start()
	update(grantOf(10, `scoped={"rps":6,"names":["a"]}`, "test")) // the same scope, other limits
	if len(c.opened) != 2 {
		t.Error("an unchanged scope was opened again")
	}
	if err := s.Update(grantOf(9, "test")); capability.KindOf(err) != capability.Conflict {
		t.Errorf("an older version: %v", err)
	}
	for _, bad := range [][]string{{"test", "nobody"}, {"scoped"}, {"test=word"}, {`test={"rps":-1}`}, {`scoped={"nams":[]}`}} {
		grants, err := capability.ParseGrants(bad)
		if err == nil {
			err = s.Update(capability.Policy{Version: 11, Grants: grants})
		}
		wantKind(t, err, capability.Invalid)
	}
	if s.Version() != 10 {
		t.Errorf("version %d after refused updates", s.Version())
	}
	c.letGo <- struct{}{}
	if err := <-call; err != nil {
		t.Error("a call under an unchanged grant:", err)
	}

	call = start()
	s.Close()
	wantKind(t, <-call, capability.Gone)
	<-c.closed
	_, err := s.do("a")
	wantKind(t, err, capability.Gone)
	wantKind(t, s.Update(grantOf(12)), capability.Gone)
}

func TestAFailedUpdateClosesWhatItOpened(t *testing.T) {
	c := scoped{newGate(), make(chan string, 10), make(chan string, 10)}
	s := open(t, echo, capability.Config{}, capability.Limits{})
	if err := s.broker.Register("scoped", c); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.Update(grantOf(8, "scoped=a", "nobody")), capability.Invalid)
	if got := <-c.closed; got != "a" {
		t.Errorf("closed %q", got)
	}
}

// A revocation and calls race: a call that began after Update returned is refused.
func TestUpdateIsAtOnce(t *testing.T) {
	s := open(t, echo, capability.Config{}, capability.Limits{RPS: 1e6, Concurrency: 1000})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := s.do("a"); err != nil && capability.KindOf(err) != capability.Denied {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for version := uint64(8); version < 200; version += 2 {
		if err := s.Update(grantOf(version)); err != nil {
			t.Fatal(err)
		}
		_, err := s.do("a")
		wantKind(t, err, capability.Denied)
		if err := s.Update(grantOf(version+1, `test={"rps":1000000,"concurrency":1000}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.do("a"); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestCloseWaitsForCalls(t *testing.T) {
	g := newGate()
	g.stubborn = true
	s := open(t, g, capability.Config{}, capability.Limits{})
	call := s.start()
	<-g.entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.broker.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a call running: %v", err)
	}
	wantKind(t, <-call, capability.Gone)
	close(g.letGo)
	if err := s.broker.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := s.broker.Open(someone, capability.Policy{}); capability.KindOf(err) != capability.Gone {
		t.Errorf("open after close: %v", err)
	}
}

// What nobody uses is closed, however little time there is.
func TestCloseWithoutTime(t *testing.T) {
	closes := &closing{Func: echo}
	s := open(t, closes, capability.Config{}, capability.Limits{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.broker.Close(ctx); err != nil || closes.times != 1 {
		t.Errorf("%v; the capability was closed %d times", err, closes.times)
	}
}

// closing is a capability that is closed.
type closing struct {
	capability.Func
	times int
}

// Close implements io.Closer.
func (c *closing) Close() error {
	c.times++
	return nil
}

func TestRegister(t *testing.T) {
	s := open(t, echo, capability.Config{}, capability.Limits{})
	wantKind(t, s.broker.Register("test", echo), capability.Conflict)
	wantKind(t, s.broker.Register("Test", echo), capability.Invalid)
	_, err := s.broker.Open(capability.Identity{Tenant: "t"}, capability.Policy{})
	wantKind(t, err, capability.Invalid)
}
