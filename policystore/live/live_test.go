package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var editor = policystore.Principal{Name: "editor", Role: policystore.PolicyAdmin}

// world is a store and a reloader that watches it.
type world struct {
	t testing.TB
	*policystore.Store
	*Reloader
}

func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	s, err := policystore.Open(t.Context(), policystore.Config{Dir: t.TempDir(), Validate: func(string, []byte) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, s, New(s, o)}
	t.Cleanup(func() {
		w.Reloader.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// put stores a document whose sandboxes are given, each with its text in flow style.
func (w *world) put(name string, sandboxes ...string) uint64 {
	w.t.Helper()
	text := "version: 1.0\nsandboxes:\n  " + strings.Join(sandboxes, "\n  ") + "\n"
	v, err := w.Put(w.t.Context(), editor, policystore.PutRequest{Name: name, Text: []byte(text)})
	if err != nil {
		w.t.Fatal(err)
	}
	return v.Number
}

func (w *world) follow(name, sandbox string, to Target) *Followed {
	w.t.Helper()
	f, err := w.Follow(w.t.Context(), name, sandbox, to)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// recorder is a target that keeps what it got. hold, when not nil, is received from first.
type recorder struct {
	hold chan struct{}
	fail func(Revision) error

	mu   sync.Mutex
	got  []Revision
	busy int
	most *most
}

// most is how many targets were at work at one time.
type most struct {
	mu       sync.Mutex
	now, top int
}

func (m *most) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += n
	m.top = max(m.top, m.now)
}

func (r *recorder) Apply(ctx context.Context, revision Revision) (cell.Reloaded, error) {
	r.mu.Lock()
	r.got = append(r.got, revision)
	r.busy++
	if r.busy > 1 {
		panic("a target is asked for two revisions at one time")
	}
	r.mu.Unlock()
	if r.most != nil {
		r.most.add(1)
		defer r.most.add(-1)
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy--
	}()
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
		}
	}
	if r.fail != nil {
		if err := r.fail(revision); err != nil {
			return cell.Reloaded{}, err
		}
	}
	return cell.Reloaded{Layers: []cell.ReloadedLayer{{Name: "guest", Live: true}, {Name: "landlock", Missing: "stays"}}}, nil
}

func (r *recorder) versions() (list []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, revision := range r.got {
		list = append(list, revision.Version)
	}
	return list
}

func equal(t testing.TB, what string, got, want []uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: versions %v; want %v", what, got, want)
	}
}

// Each version comes once and in order, the last one always.
func TestVersionsComeInOrder(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "a: { imports: [math] }")
	targets := make([]*recorder, 20)
	followed := make([]*Followed, len(targets))
	for i := range targets {
		targets[i] = &recorder{}
		followed[i] = w.follow("p", "a", targets[i])
		equal(t, "when followed", targets[i].versions(), []uint64{1})
	}
	var last uint64
	for i := range 30 {
		last = w.put("p", fmt.Sprintf("a: { imports: [math], files: %d }", 10+i))
	}
	for i, f := range followed {
		await.That(t, "the last version", func() bool { return f.Report().Version == last })
		got := targets[i].versions()
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("target %d got %v", i, got)
		}
		if r := f.Report(); r.Failed != "" || len(r.Layers) != 2 || !slices.Equal(r.NewCell, []string{"landlock: stays"}) || r.Newest != last || r.At.IsZero() {
			t.Errorf("%+v", r)
		}
	}
}

func TestNewestWins(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "a: { files: 10 }")
	slow := &recorder{hold: make(chan struct{}, 1)}
	slow.hold <- struct{}{}
	f := w.follow("p", "", slow)
	quick := &recorder{}
	at := w.follow("p", "", quick)
	w.put("p", "a: { files: 11 }")
	await.That(t, "the second at work", func() bool { return len(slow.versions()) == 2 })
	await.That(t, "the quick one's second", func() bool { return at.Report().Version == 2 })
	for i := range 3 {
		v := w.put("p", fmt.Sprintf("a: { files: %d }", 20+i))
		await.That(t, "a quick one is not kept waiting", func() bool { return at.Report().Version == v })
	}
	await.That(t, "the newest is offered to the slow one, too", func() bool { return f.Report().Newest == 5 })
	close(slow.hold)
	await.That(t, "the newest", func() bool { return f.Report().Version == 5 })
	equal(t, "the slow one", slow.versions(), []uint64{1, 2, 5})
	equal(t, "the quick one", quick.versions(), []uint64{1, 2, 3, 4, 5})
}

func TestParallelIsBounded(t *testing.T) {
	w := newWorld(t, Options{Parallel: 12})
	w.put("p", "a: { files: 10 }")
	hold, at := make(chan struct{}, 100), &most{}
	var followed []*Followed
	for range 10 {
		hold <- struct{}{}
		followed = append(followed, w.follow("p", "", &recorder{hold: hold, most: at}))
	}
	w.put("p", "a: { files: 11 }")
	await.That(t, "three at work", func() bool { at.mu.Lock(); defer at.mu.Unlock(); return at.now == 3 })
	close(hold)
	for _, f := range followed {
		await.That(t, "all", func() bool { return f.Report().Version == 2 })
	}
	if at.top != 3 {
		t.Errorf("%d were at work at one time", at.top)
	}
}

// What does not compile for one sandbox is the affair of its cells alone.
func TestBrokenVersions(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "a: { files: 10 }", "b: { files: 10 }")
	a, b := &recorder{}, &recorder{}
	fa, fb := w.follow("p", "a", a), w.follow("p", "b", b)
	w.put("p", "a: { files: 11 }")
	await.That(t, "a's second", func() bool { return fa.Report().Version == 2 })
	await.That(t, "b's failure", func() bool { return fb.Report().Newest == 2 })
	if r := fb.Report(); r.Version != 1 || !strings.Contains(r.Failed, "no sandbox") {
		t.Errorf("%+v", r)
	}
	w.put("p", "a: { flies: 11 }") // this store validates nothing
	await.That(t, "what is no document", func() bool { return fa.Report().Newest == 3 })
	if r := fa.Report(); r.Version != 2 || !strings.Contains(r.Failed, "version 3 of policy p") {
		t.Errorf("%+v", r)
	}
	w.put("p", "a: { files: 12 }", "b: { files: 12 }")
	await.That(t, "both again", func() bool { return fa.Report().Version == 4 && fb.Report().Version == 4 })
	equal(t, "a", a.versions(), []uint64{1, 2, 4})
	equal(t, "b", b.versions(), []uint64{1, 4})
	if r := fb.Report(); r.Failed != "" {
		t.Errorf("%+v", r)
	}
}

func TestDeletedPolicies(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "a: { files: 10 }")
	target := &recorder{}
	f := w.follow("p", "", target)
	if _, err := w.Delete(t.Context(), editor, policystore.DeleteRequest{Name: "p"}); err != nil {
		t.Fatal(err)
	}
	await.That(t, "that it is deleted", func() bool { return f.Report().Deleted })
	if r := f.Report(); r.Version != 1 || r.Newest != 2 {
		t.Errorf("%+v", r)
	}
	if _, err := w.Follow(t.Context(), "p", "", &recorder{}); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("a deleted policy is followed: %v", err)
	}
	w.put("p", "a: { files: 11 }")
	await.That(t, "that it is back", func() bool { r := f.Report(); return r.Version == 3 && !r.Deleted })
	equal(t, "it", target.versions(), []uint64{1, 3})
}

func TestFailures(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "a: { files: 10 }")
	var refusal error
	busy := 0
	target := &recorder{fail: func(r Revision) error {
		if r.Version == 2 && busy < 2 {
			busy++
			return cell.Errorf(cell.Busy, "not now")
		}
		if r.Version == 3 {
			return refusal
		}
		return nil
	}}
	f := w.follow("p", "", target)
	w.put("p", "a: { files: 11 }")
	await.That(t, "what was busy", func() bool { return f.Report().Version == 2 })
	refusal = cell.Errorf(cell.PolicyDenied, "hardened mode")
	w.put("p", "a: { files: 12 }")
	await.That(t, "the refusal", func() bool { return strings.Contains(f.Report().Failed, "hardened mode") })
	if r := f.Report(); r.Version != 2 || r.Newest != 3 {
		t.Errorf("%+v", r)
	}
	w.put("p", "a: { files: 13 }")
	await.That(t, "what comes behind it", func() bool { r := f.Report(); return r.Version == 4 && r.Failed == "" })
	equal(t, "it", target.versions(), []uint64{1, 2, 2, 2, 3, 4})

	gone := &recorder{fail: func(r Revision) error {
		if r.Version == 5 {
			return cell.Errorf(cell.CellGone, "killed")
		}
		return nil
	}}
	w.follow("p", "", gone)
	w.put("p", "a: { files: 14 }")
	await.That(t, "that one is gone", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.subjects["p"].users == 1 })
	refused := &recorder{fail: func(Revision) error { return refusal }}
	if _, err := w.Follow(t.Context(), "p", "", refused); !errors.Is(err, cell.PolicyDenied) {
		t.Errorf("what is refused from the start: %v", err)
	}
	for name, sandbox := range map[string]string{"p": "none", "q": ""} {
		if _, err := w.Follow(t.Context(), name, sandbox, &recorder{}); err == nil {
			t.Errorf("%s:%s is followed", name, sandbox)
		}
	}
	f.Close()
	if len(w.subjects) != 0 {
		t.Errorf("%v are still kept", w.subjects)
	}
}

// bounded is a recorder that has a revision, and a backend.
type bounded struct {
	recorder
	began Revision
}

func (b *bounded) Began() Revision       { return b.began }
func (b *bounded) Backend() cell.Backend { return cell.SubInterpreter }

func TestBegunTargets(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "a: { files: 10 }")
	first := &recorder{}
	w.follow("p", "", first)
	target := &bounded{began: first.got[0]}
	f := w.follow("p", "", target)
	equal(t, "what it has", target.versions(), nil)
	w.put("p", "a: { files: 10, backend: process }")
	await.That(t, "the second", func() bool { return f.Report().Version == 2 })
	if r := f.Report(); r.Wants != cell.Process {
		t.Errorf("%+v", r)
	}
	equal(t, "what it got", target.versions(), []uint64{2})
}

func TestClosedReloader(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "a: { files: 10 }")
	held := &recorder{hold: make(chan struct{}, 1)}
	held.hold <- struct{}{}
	w.follow("p", "", held)
	w.put("p", "a: { files: 11 }")
	await.That(t, "one at work", func() bool { return len(held.versions()) == 2 })
	w.Reloader.Close() // ends what it works under
	w.put("p", "a: { files: 12 }")
	if _, err := w.Follow(t.Context(), "p", "", held); !errors.Is(err, ErrClosed) {
		t.Errorf("followed by a closed one: %v", err)
	}
	equal(t, "nothing more", held.versions(), []uint64{1, 2})
}

// lossy is a store whose watches lose their place at first.
type lossy struct {
	*policystore.Store
	losses atomic.Int32
}

func (l *lossy) Watch(ctx context.Context, prefix string, from uint64) (*policystore.Watch, error) {
	if l.losses.Add(-1) >= 0 {
		return nil, policystore.ErrCompacted
	}
	return l.Store.Watch(ctx, prefix, from)
}

// What was missed while nobody watched comes when somebody does.
func TestLostPlace(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "a: { files: 10 }")
	source := &lossy{Store: w.Store}
	source.losses.Store(1 << 30)
	r := New(source, Options{})
	defer r.Close()
	target := &recorder{}
	f, err := r.Follow(t.Context(), "p", "", target)
	if err != nil {
		t.Fatal(err)
	}
	w.put("p", "a: { files: 11 }")
	w.put("p", "a: { files: 12 }")
	equal(t, "while nobody watches", target.versions(), []uint64{1})
	source.losses.Store(3)
	await.That(t, "the newest", func() bool { return f.Report().Version == 3 })
	equal(t, "it", target.versions(), []uint64{1, 3})
}
