package webhook_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/telemetry/events"
	"github.com/pyisolate/pyisolate/telemetry/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "0123456789abcdef0123456789abcdef"

// receiver is a server that keeps what it takes.
type receiver struct {
	*httptest.Server
	t      *testing.T
	answer func(n int, w http.ResponseWriter, r *http.Request) // the nth request; nil: 204

	mu       sync.Mutex
	requests []*http.Request
	bodies   []webhook.Body
	raw      [][]byte
}

func newReceiver(t *testing.T, answer func(int, http.ResponseWriter, *http.Request)) *receiver {
	r := &receiver{t: t, answer: answer}
	r.Server = httptest.NewTLSServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	raw, err := io.ReadAll(q.Body)
	var b webhook.Body
	if err == nil {
		err = json.Unmarshal(raw, &b)
	}
	if err != nil {
		r.t.Errorf("body %q: %v", raw, err)
	}
	r.mu.Lock()
	r.requests, r.bodies, r.raw = append(r.requests, q), append(r.bodies, b), append(r.raw, raw)
	n := len(r.requests)
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(n, w, q)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// messages are those of all events so far, in the order in which they came.
func (r *receiver) messages() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bodies {
		for _, e := range b.Events {
			all = append(all, e.Message)
		}
	}
	return all
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

// tally counts what became of events.
type tally struct {
	mu sync.Mutex
	of map[string]int
}

func (t *tally) add(_, outcome string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]int{}
	}
	t.of[outcome] += n
}

func (t *tally) get(outcome string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of[outcome]
}

// send starts a sender for hooks, whose servers have the receiver's certificate.
func send(t *testing.T, r *receiver, c webhook.Config) (*events.Hub, *tally, *webhook.Sender) {
	t.Helper()
	count := &tally{}
	if c.Hub == nil {
		c.Hub = events.NewHub(0)
	}
	c.Delivered = count.add
	if c.First == 0 {
		c.First, c.Most = time.Millisecond, 4*time.Millisecond
	}
	c.RootCAs = x509.NewCertPool()
	c.RootCAs.AddCert(r.Certificate())
	s, err := webhook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Close(ctx)
	})
	return c.Hub, count, s
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What matches is posted, in order and signed; the rest is not.
func TestDelivers(t *testing.T) {
	r := newReceiver(t, nil)
	hub := events.NewHub(0)
	hub.Publish(events.Event{Kind: events.CellCrashed, Tenant: "acme", Message: "before"})
	_, count, _ := send(t, r, webhook.Config{Hub: hub, Node: "n1", Hooks: []webhook.Hook{{URL: r.URL + "/alerts?token=x", Inner: true,
		Kinds: []events.Kind{events.CellCrashed}, Tenant: "acme", SecretFile: secretFile(t, secret+"\n")}}})
	hub.Publish(events.Event{Kind: events.CellCrashed, Tenant: "other", Message: "of another"})
	hub.Publish(events.Event{Kind: events.CellStarted, Tenant: "acme", Message: "of another kind"})
	hub.Publish(events.Event{Kind: events.CellCrashed, Tenant: "acme", Cell: "c", Epoch: 2, Message: "one"})
	hub.Publish(events.Event{Kind: events.CellCrashed, Tenant: "acme", Message: "two"})
	await.That(t, "both are posted", func() bool { return count.get("delivered") == 2 })
	if got := strings.Join(r.messages(), " "); got != "one two" {
		t.Errorf("posted %s", got)
	}
	q, b := r.requests[0], r.bodies[0]
	if b.Node != "n1" || b.Events[0].Cell != "c" || b.Events[0].Epoch != 2 || q.Header.Get("Content-Type") != "application/json" || q.Header.Get(webhook.HeaderID) == "" {
		t.Errorf("%+v, %v", b, q.Header)
	}
	if err := webhook.Verify(q.Header, []byte(secret), r.raw[0], time.Now(), time.Minute); err != nil {
		t.Error(err)
	}
}

// Who counts has each hook from the start: a counter that appears with its first failure has not
// increased, for who watches it.
func TestCountedFromTheStart(t *testing.T) {
	told := map[string]int{}
	s, err := webhook.New(webhook.Config{Hub: events.NewHub(0), Hooks: []webhook.Hook{{URL: "https://h.example/x"}, {Name: "pager", URL: "https://h.example/y"}},
		Delivered: func(hook, outcome string, n int) { told[hook+" "+outcome] = n }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	want := map[string]int{"h.example delivered": 0, "h.example failed": 0, "h.example lost": 0, "pager delivered": 0, "pager failed": 0, "pager lost": 0}
	if !maps.Equal(told, want) {
		t.Errorf("told %v", told)
	}
}

// What may go better is tried again, as the same delivery; what cannot is not.
func TestServersThatFail(t *testing.T) {
	var elsewhere *receiver
	for _, c := range []struct {
		name      string
		answer    func(n int, w http.ResponseWriter, r *http.Request)
		requests  int // of "slow" at least: on a busy machine others than the first may take too long
		delivered bool
	}{
		{"twice", func(n int, w http.ResponseWriter, _ *http.Request) {
			if n < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}, 3, true},
		{"always", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, 4, false},
		{"busy", func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		}, 2, true},
		{"hangs up", func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 4, false},
		{"slow", func(n int, _ http.ResponseWriter, r *http.Request) {
			if n == 1 {
				<-r.Context().Done()
			}
		}, 2, true},
		{"does not like it", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, 1, false},
		{"redirects", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, 1, false},
		{"floods", func(_ int, w http.ResponseWriter, _ *http.Request) {
			for range 10000 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			elsewhere = newReceiver(t, nil)
			r := newReceiver(t, c.answer)
			config, slow := webhook.Config{Timeout: time.Minute, Attempts: 4, Hooks: []webhook.Hook{{URL: r.URL, Inner: true}}}, c.name == "slow"
			if slow {
				config.Timeout, config.Attempts = 300*time.Millisecond, 50
			}
			hub, count, _ := send(t, r, config)
			hub.Publish(events.Event{Kind: events.NodeReady})
			await.That(t, "it is over", func() bool { return count.get("delivered")+count.get("failed") == 1 })
			if n := r.count(); n < c.requests || n > c.requests && !slow || (count.get("delivered") == 1) != c.delivered || elsewhere.count() != 0 {
				t.Errorf("%d requests, %+v, %d elsewhere", n, count.of, elsewhere.count())
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, q := range r.requests {
				if q.Header.Get(webhook.HeaderID) != r.requests[0].Header.Get(webhook.HeaderID) {
					t.Error("another delivery")
				}
			}
		})
	}
}

// One server that is away holds up neither another nor who publishes; what it misses is told.
func TestSlowServer(t *testing.T) {
	release := make(chan struct{})
	slow := newReceiver(t, func(n int, _ http.ResponseWriter, r *http.Request) {
		if n == 1 {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	good := newReceiver(t, nil)
	hub, count, _ := send(t, slow, webhook.Config{Hub: events.NewHub(8), Timeout: time.Minute, Hooks: []webhook.Hook{
		{URL: slow.URL, Inner: true}, {URL: good.URL, Inner: true}}})
	hub.Publish(events.Event{Kind: events.NodeReady})
	await.That(t, "the slow one is asked", func() bool { return slow.count() == 1 })
	for i := range 100 {
		hub.Publish(events.Event{Kind: events.PolicyPut})
		await.That(t, "the other hears of it", func() bool { return len(good.messages()) == i+2 })
	}
	close(release)
	await.That(t, "it hears of what it missed", func() bool { return slow.count() == 2 })
	slow.mu.Lock()
	defer slow.mu.Unlock()
	if b := slow.bodies[1]; b.Lost != 92 || len(b.Events) != 8 || count.get("lost") < 92 {
		t.Errorf("%d lost, %d posted", b.Lost, len(b.Events))
	}
}

// At its end a sender posts what has happened, but does not wait longer than it may.
func TestClose(t *testing.T) {
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	hub, count, s := send(t, r, webhook.Config{First: time.Hour, Most: time.Hour, Hooks: []webhook.Hook{{URL: r.URL, Inner: true}}})
	hub.Publish(events.Event{Kind: events.NodeDraining})
	if err := s.Close(t.Context()); err != nil || r.count() != 1 || count.get("failed") != 1 {
		t.Errorf("close: %v after %d requests", err, r.count())
	}
	never := newReceiver(t, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	hub, _, s = send(t, never, webhook.Config{Hooks: []webhook.Hook{{URL: never.URL, Inner: true}}})
	hub.Publish(events.Event{Kind: events.NodeDraining})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
}

// Where a name leads is judged when it is connected to.
func TestInnerAddresses(t *testing.T) {
	r := newReceiver(t, nil)
	named := strings.Replace(r.URL, "127.0.0.1", "localhost", 1)
	hub, count, _ := send(t, r, webhook.Config{Hooks: []webhook.Hook{{URL: named}}})
	hub.Publish(events.Event{Kind: events.NodeReady})
	await.That(t, "it is refused", func() bool { return count.get("failed") == 1 })
	if r.count() != 0 {
		t.Error("the server was asked")
	}
}

// A secret that is gone, or has been opened to others, stops what it should sign.
func TestSecretThatIsGone(t *testing.T) {
	r := newReceiver(t, nil)
	path := secretFile(t, secret)
	hub, count, _ := send(t, r, webhook.Config{Hooks: []webhook.Hook{{URL: r.URL, Inner: true, SecretFile: path}}})
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	hub.Publish(events.Event{Kind: events.NodeReady})
	await.That(t, "it fails", func() bool { return count.get("failed") == 1 })
	if r.count() != 0 {
		t.Error("it was posted without a signature")
	}
}

func TestValidate(t *testing.T) {
	open := secretFile(t, secret)
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		hook webhook.Hook
		want string // "": it is valid
	}{
		"good":              {webhook.Hook{URL: "https://example.com/x", SecretFile: secretFile(t, secret), Kinds: []events.Kind{events.Denied}}, ""},
		"inner":             {webhook.Hook{URL: "http://10.0.0.1/x", Inner: true}, ""},
		"no address":        {webhook.Hook{URL: "example.com"}, "write https://"},
		"a user":            {webhook.Hook{URL: "https://u:p@example.com"}, "user name"},
		"http":              {webhook.Hook{URL: "http://example.com"}, "use https"},
		"this machine":      {webhook.Hook{URL: "https://127.0.0.1"}, "permit it with inner"},
		"metadata":          {webhook.Hook{URL: "http://169.254.169.254/", Inner: true}, "credentials"},
		"a number":          {webhook.Hook{URL: "http://2852039166/", Inner: true}, "is a number"},
		"a kind":            {webhook.Hook{URL: "https://example.com", Kinds: []events.Kind{"CELL_FELL"}}, "CELL_FELL"},
		"no secret":         {webhook.Hook{URL: "https://example.com", SecretFile: "/nowhere"}, "no such file"},
		"a short secret":    {webhook.Hook{URL: "https://example.com", SecretFile: secretFile(t, "short")}, "5 bytes"},
		"an open secret":    {webhook.Hook{URL: "https://example.com", SecretFile: open}, "chmod 600"},
		"a long secret":     {webhook.Hook{URL: "https://example.com", SecretFile: secretFile(t, strings.Repeat("x", 5000))}, "4096 is the most"},
		"two of a name":     {webhook.Hook{Name: "twice", URL: "https://example.com"}, "two of that name"},
		"a forged log line": {webhook.Hook{Name: "a\nb", URL: "nonsense"}, "webhook a b:"},
	} {
		t.Run(name, func(t *testing.T) {
			hooks := []webhook.Hook{c.hook}
			if c.hook.Name == "twice" {
				hooks = append(hooks, c.hook)
			}
			err := webhook.Config{Hooks: hooks}.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if err := (webhook.Config{Hooks: make([]webhook.Hook, 17), Timeout: -1}).Validate(); err == nil || !strings.Contains(err.Error(), "16 is the most") {
		t.Errorf("17 hooks: %v", err)
	}
}

func TestVerify(t *testing.T) {
	now, body := time.Unix(1_800_000_000, 0), []byte(`{"events":[]}`)
	h := http.Header{}
	webhook.Sign(h, []byte(secret), body, now)
	for name, c := range map[string]struct {
		change func(http.Header)
		body   string
		key    string
		now    time.Time
		good   bool
	}{
		"good":          {func(http.Header) {}, string(body), secret, now.Add(time.Minute), true},
		"another body":  {func(http.Header) {}, `{"events":[1]}`, secret, now, false},
		"another key":   {func(http.Header) {}, string(body), "x" + secret, now, false},
		"replayed":      {func(http.Header) {}, string(body), secret, now.Add(6 * time.Minute), false},
		"of the future": {func(http.Header) {}, string(body), secret, now.Add(-6 * time.Minute), false},
		"another time":  {func(h http.Header) { h.Set(webhook.HeaderTimestamp, fmt.Sprint(now.Unix()+1)) }, string(body), secret, now, false},
		"no time":       {func(h http.Header) { h.Del(webhook.HeaderTimestamp) }, string(body), secret, now, false},
		"no signature":  {func(h http.Header) { h.Del(webhook.HeaderSignature) }, string(body), secret, now, false},
		"no version":    {func(h http.Header) { h.Set(webhook.HeaderSignature, h.Get(webhook.HeaderSignature)[3:]) }, string(body), secret, now, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := h.Clone()
			c.change(got)
			if err := webhook.Verify(got, []byte(c.key), []byte(c.body), c.now, 5*time.Minute); (err == nil) != c.good || err != nil && !errors.Is(err, webhook.ErrSignature) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("1800000000", "v1=00", []byte("x"))
	f.Fuzz(func(t *testing.T, at, signature string, body []byte) {
		h := http.Header{webhook.HeaderTimestamp: {at}, webhook.HeaderSignature: {signature}}
		if webhook.Verify(h, []byte(secret), body, time.Now(), time.Hour) == nil {
			t.Error("a signature is guessed")
		}
	})
}
