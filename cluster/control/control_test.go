package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/internal/await"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is nodes in one process, with real wires.
type cluster struct {
	authority *pki.Authority
	mu        sync.Mutex
	at        map[string]string
	wires     map[string]*wire.Wire
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	a, err := pki.Create("test")
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{authority: a, at: map[string]string{}, wires: map[string]*wire.Wire{}}
}

func (c *cluster) lookup(node string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.at[node]; ok {
		return a, nil
	}
	return "", fmt.Errorf("no node %s", node)
}

func (c *cluster) node(t testing.TB, name string) *Control {
	t.Helper()
	r, err := pki.NewRequest(name)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := c.authority.Sign(r.DER(), name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Accept(cert, c.authority.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	w, err := wire.Listen(t.Context(), wire.Config{
		Identity: id, Address: "127.0.0.1:0", Lookup: c.lookup, Allow: func(pki.Peer) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.at[name], c.wires[name] = w.Addr().String(), w
	c.mu.Unlock()
	n := Open(w, nil)
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func handle(t testing.TB, c *Control, topic string, h Handler) {
	t.Helper()
	if err := c.Handle(topic, h); err != nil {
		t.Fatal(err)
	}
}

func echo(_ context.Context, from string, request []byte) ([]byte, error) {
	return append([]byte(from+": "), request...), nil
}

func TestAsk(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(t, "one"), c.node(t, "two")
	handle(t, two, "echo", echo)
	handle(t, two, "fail", func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("stale epoch") })
	var work sync.WaitGroup
	for i := range 32 {
		work.Go(func() {
			got, err := one.Ask(t.Context(), "two", "echo", []byte(fmt.Sprint(i)))
			if err != nil || string(got) != fmt.Sprint("one: ", i) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	work.Wait()
	var refusal *Refusal
	if _, err := one.Ask(t.Context(), "two", "fail", nil); !errors.As(err, &refusal) || refusal.Text != "stale epoch" || refusal.Node != "two" {
		t.Errorf("%v", err)
	}
	big := bytes.Repeat([]byte("x"), MaxSize-len("one: "))
	if got, err := one.Ask(t.Context(), "two", "echo", big); err != nil || len(got) != MaxSize {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	handle(t, two, "large", func(context.Context, string, []byte) ([]byte, error) { return make([]byte, MaxSize+1), nil })
	if _, err := one.Ask(t.Context(), "two", "large", nil); !errors.As(err, &refusal) || !strings.Contains(refusal.Text, "it was done") {
		t.Errorf("a large answer: %v", err)
	}
	if n := c.wires["two"].Stats().Open; n != 1 {
		t.Errorf("%d connections, one is enough", n)
	}
}

func TestNotDone(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(t, "one"), c.node(t, "two")
	handle(t, two, "echo", echo)
	handle(t, two, "gone", echo)
	handle(t, two, "gone", nil)
	c.at["down"] = "127.0.0.1:1"
	for name, ask := range map[string]struct{ node, topic, says string }{
		"unknown node":  {"three", "echo", "no node three"},
		"down":          {"down", "echo", "refused"},
		"bad name":      {"two:80", "echo", "no such node"},
		"unknown topic": {"two", "other", "nobody answers"},
		"topic removed": {"two", "gone", "nobody answers"},
		"bad topic":     {"two", "../echo?x", "no such node or topic"},
	} {
		_, err := one.Ask(t.Context(), ask.node, ask.topic, nil)
		if !errors.Is(err, ErrNotDone) || !strings.Contains(err.Error(), ask.says) {
			t.Errorf("%s: %v", name, err)
		}
		if answered := ask.says == "nobody answers"; errors.Is(err, ErrTurnedAway) != answered {
			t.Errorf("%s: that the node answers is %v: %v", name, answered, err)
		}
	}
	if _, err := one.Ask(t.Context(), "two", "echo", make([]byte, MaxSize+1)); !errors.Is(err, ErrNotDone) {
		t.Errorf("too large: %v", err)
	}
	if err := two.Handle("Bad Topic", echo); err == nil {
		t.Error("a bad topic is handled")
	}
}

// stuck is a handler that waits for its context, and tells when it began and ended.
func stuck() (h Handler, began, ended chan struct{}) {
	began, ended = make(chan struct{}, 2*maxPending), make(chan struct{}, 2*maxPending)
	return func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, context.Cause(ctx)
	}, began, ended
}

// What began and was not answered is neither ErrNotDone nor a refusal, and its handler hears of it.
func TestUncertain(t *testing.T) {
	for name, lose := range map[string]func(*cluster, context.CancelFunc){
		"given up":      func(_ *cluster, cancel context.CancelFunc) { cancel() },
		"asker is gone": func(c *cluster, _ context.CancelFunc) { _ = c.wires["one"].Close() },
		"node is gone":  func(c *cluster, _ context.CancelFunc) { _ = c.wires["two"].Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			one, two := c.node(t, "one"), c.node(t, "two")
			h, began, ended := stuck()
			handle(t, two, "stuck", h)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := one.Ask(ctx, "two", "stuck", nil)
				failed <- err
			}()
			<-began
			lose(c, cancel)
			<-ended
			var refusal *Refusal
			if err := <-failed; err == nil || errors.Is(err, ErrNotDone) || errors.As(err, &refusal) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTooMany(t *testing.T) {
	c := newCluster(t)
	one, two, three := c.node(t, "one"), c.node(t, "two"), c.node(t, "three")
	h, began, _ := stuck()
	handle(t, two, "stuck", h)
	handle(t, two, "echo", echo)
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for range maxPending {
		work.Go(func() { _, _ = one.Ask(ctx, "two", "stuck", nil) })
	}
	for range maxPending {
		<-began
	}
	if _, err := three.Ask(t.Context(), "two", "echo", nil); err != nil {
		t.Errorf("another node: %v", err)
	}
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := one.Ask(short, "two", "echo", nil); err == nil {
		t.Error("one more than may be under way was answered")
	}
	cancel()
	work.Wait()
	await.That(t, "there is room again", func() bool {
		_, err := one.Ask(t.Context(), "two", "echo", nil)
		return err == nil
	})
}

// What one topic may have is bounded, and no number of requests keeps those from their answers that
// are urgent.
func TestRoom(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(t, "one"), c.node(t, "two")
	h, began, _ := stuck()
	if err := two.HandleUpTo("some", 2, h); err != nil {
		t.Fatal(err)
	}
	handle(t, two, "stuck", h)
	handle(t, two, "echo", echo)
	handle(t, two, Urgent+"echo", echo)
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	fill := func(topic string, count int) {
		for range count {
			work.Go(func() { _, _ = one.Ask(ctx, "two", topic, nil) })
		}
		for range count {
			<-began
		}
	}
	fill("some", 2)
	if _, err := one.Ask(t.Context(), "two", "some", nil); !errors.Is(err, ErrNotDone) || !strings.Contains(err.Error(), "2 requests of some") {
		t.Errorf("one more than the topic may have: %v", err)
	}
	if _, err := one.Ask(t.Context(), "two", "echo", nil); err != nil {
		t.Errorf("another topic: %v", err)
	}
	fill("stuck", maxPending-2)
	if _, err := one.Ask(t.Context(), "two", Urgent+"echo", nil); err != nil {
		t.Errorf("urgent: %v", err)
	}
	cancel()
	work.Wait()
	await.That(t, "nothing is counted any more", func() bool {
		two.mu.Lock()
		defer two.mu.Unlock()
		return len(two.pending) == 0
	})
}

func TestComesBack(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(t, "one"), c.node(t, "two")
	handle(t, two, "echo", echo)
	if _, err := one.Ask(t.Context(), "two", "echo", nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(two.Close(), c.wires["two"].Close()); err != nil {
		t.Fatal(err)
	}
	await.That(t, "it is gone", func() bool {
		_, err := one.Ask(t.Context(), "two", "echo", nil)
		return errors.Is(err, ErrNotDone)
	})
	again := c.node(t, "two")
	handle(t, again, "echo", echo)
	await.That(t, "it is back", func() bool {
		_, err := one.Ask(t.Context(), "two", "echo", nil)
		return err == nil
	})
}

func TestClose(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(t, "one"), c.node(t, "two")
	h, began, ended := stuck()
	handle(t, two, "stuck", h)
	failed := make(chan error, 1)
	go func() {
		_, err := one.Ask(t.Context(), "two", "stuck", nil)
		failed <- err
	}()
	<-began
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Close did not wait for the handler")
	}
	if err := <-failed; err == nil {
		t.Error("it was answered")
	}
	// What the one that closes has asked ends, too.
	three := c.node(t, "three")
	handle(t, three, "stuck", h)
	go func() {
		_, err := one.Ask(t.Context(), "three", "stuck", nil)
		failed <- err
	}()
	<-began
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("it was answered")
	}
	<-ended
}

// Whoever has closed is not answered any more, however fast the other node is.
func TestAsksNobodyOnceClosed(t *testing.T) {
	c := newCluster(t)
	one, two := c.node(t, "one"), c.node(t, "two")
	handle(t, two, "echo", echo)
	if _, err := one.Ask(t.Context(), "two", "echo", nil); err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if _, err := one.Ask(t.Context(), "two", "echo", nil); !errors.Is(err, ErrNotDone) {
			t.Fatal(err)
		}
	}
}

// A stranger cannot get here but through the wire; who comes without a name is refused even so.
func TestNoName(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := open(l, func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}, nil)
	defer func() { _ = c.Close() }()
	handle(t, c, "echo", echo)
	if _, err := c.Ask(t.Context(), "one", "echo", nil); !errors.Is(err, ErrNotDone) || !strings.Contains(err.Error(), "not known who asks") {
		t.Errorf("%v", err)
	}
}

func BenchmarkAsk(b *testing.B) {
	c := newCluster(b)
	one, two := c.node(b, "one"), c.node(b, "two")
	handle(b, two, "echo", echo)
	request := bytes.Repeat([]byte("x"), 256)
	for b.Loop() {
		if _, err := one.Ask(b.Context(), "two", "echo", request); err != nil {
			b.Fatal(err)
		}
	}
}
