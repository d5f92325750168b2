package refresh_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

var admin = policystore.Principal{Name: "admin", Role: policystore.Admin}

func newStore(t *testing.T) *policystore.Store {
	t.Helper()
	s, err := policystore.Open(t.Context(), policystore.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newRefresher(t *testing.T, s *policystore.Store, file string, o refresh.Options) *refresh.Refresher {
	t.Helper()
	r, err := refresh.New(refresh.Config{Store: s, File: file, Fetch: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// page is a document on a server, which can change, fail, and be asked after.
type page struct {
	mu    sync.Mutex
	text  string
	tag   string // "": none
	fails bool
	asked int
	whole int // answers with the document
}

func (p *page) set(change func(*page)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *page) counts() (asked, whole int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.whole
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.tag != "" {
		w.Header().Set("ETag", p.tag)
	}
	switch {
	case p.fails:
		w.WriteHeader(http.StatusInternalServerError)
	case p.tag != "" && r.Header.Get("If-None-Match") == p.tag:
		w.WriteHeader(http.StatusNotModified)
	default:
		p.whole++
		_, _ = io.WriteString(w, p.text)
	}
}

func permits(module string) string { return strings.ReplaceAll(example, "math", module) }

const example = "version: \"1.0\"\nsandboxes:\n  a:\n    imports: [math]\n"

func newest(t *testing.T, s *policystore.Store, name string) policystore.Version {
	t.Helper()
	v, err := s.Get(t.Context(), name, 0, policystore.Linearizable)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPullOnce(t *testing.T) {
	p := &page{text: permits("math")}
	s, o := server(t, p.ServeHTTP)
	store := newStore(t)
	r := newRefresher(t, store, "", o)
	source := refresh.Source{Name: "web", URL: s.URL + "/web.yml", Principal: admin}
	v, changed, err := r.Pull(t.Context(), source)
	if err != nil || !changed || v.Number != 1 || v.Source != source.URL || v.Author != "admin" {
		t.Fatalf("first pull %+v, %t, %v", v, changed, err)
	}
	if v, changed, err = r.Pull(t.Context(), source); err != nil || changed || v.Number != 1 {
		t.Errorf("second pull %+v, %t, %v", v, changed, err)
	}
	p.set(func(p *page) { p.text = permits("json") })
	if v, changed, err = r.Pull(t.Context(), source); err != nil || !changed || v.Number != 2 {
		t.Errorf("after a change %+v, %t, %v", v, changed, err)
	}
	if len(r.Sources()) != 0 {
		t.Errorf("sources are kept that were to be pulled once: %v", r.Sources())
	}
}

// What changes nothing, and says why.
func TestPullRefuses(t *testing.T) {
	p := &page{text: permits("math")}
	s, o := server(t, p.ServeHTTP)
	store := newStore(t)
	r := newRefresher(t, store, "", o)
	source := refresh.Source{Name: "web", URL: s.URL, Principal: admin}
	if _, _, err := r.Pull(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		text   string
		change func(*refresh.Source)
		want   error
		says   string
	}{
		{"faults", "version: \"1.0\"\nsandboxes:\n  a:\n    inports: []\n", func(*refresh.Source) {}, policystore.ErrInvalid, "inports"},
		{"a page for people", "<!DOCTYPE html><html><body>Sign in</body></html>", func(*refresh.Source) {}, policystore.ErrInvalid, ""},
		{"nothing", "", func(*refresh.Source) {}, policystore.ErrInvalid, ""},
		{"another hash", permits("json"), func(s *refresh.Source) { s.SHA256 = make([]byte, 32) }, refresh.ErrRefused, "SHA-256"},
		{"by one who may not", permits("json"), func(s *refresh.Source) { s.Principal.Role = policystore.Operator }, policystore.ErrDenied, "policy-admin"},
		{"a bad source", permits("json"), func(s *refresh.Source) { s.URL = "ftp://example.com" }, refresh.ErrSource, "ftp"},
		{"a bad name", permits("json"), func(s *refresh.Source) { s.Name = "../x" }, policystore.ErrInvalid, "name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.set(func(p *page) { p.text = c.text })
			bad := source
			bad.Every = time.Minute
			c.change(&bad)
			_, changed, err := r.Pull(t.Context(), bad)
			if changed || !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("changed %t, error %v, want %v with %q", changed, err, c.want, c.says)
			}
			if v := newest(t, store, "web"); v.Number != 1 {
				t.Errorf("the policy is at version %d", v.Number)
			}
			if len(r.Sources()) != 0 {
				t.Error("a source is followed that could not be pulled")
			}
		})
	}
}

// With validators a server is asked, and sends nothing again; what it gave decides, not what
// somebody put meanwhile.
func TestFollow(t *testing.T) {
	p := &page{text: permits("math"), tag: `"1"`}
	s, o := server(t, p.ServeHTTP)
	store := newStore(t)
	r := newRefresher(t, store, "", o)
	if _, _, err := r.Pull(t.Context(), refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, Principal: admin}); err != nil {
		t.Fatal(err)
	}
	try := func(what string, changes, sends bool) {
		t.Helper()
		_, before := p.counts()
		changed, err := r.TryNow(t.Context(), "web")
		_, after := p.counts()
		if err != nil || changed != changes || (after > before) != sends {
			t.Errorf("%s: changed %t, sent %t, %v", what, changed, after > before, err)
		}
	}
	try("the same", false, false)
	p.set(func(p *page) { p.tag = `W/"2"` })
	try("another tag, the same text", false, true)
	try("a weak tag", false, false)
	p.set(func(p *page) { p.tag, p.text = `"3"`, permits("json") })
	try("another text", true, true)
	if _, err := store.Put(t.Context(), admin, policystore.PutRequest{Name: "web", Text: []byte(permits("re"))}); err != nil {
		t.Fatal(err)
	}
	try("somebody put something else", false, false)
	p.set(func(p *page) { p.tag = "" })
	try("the same, without a tag", false, true)
	p.set(func(p *page) { p.text = permits("string") })
	try("another text again", true, true)
	if _, err := store.Delete(t.Context(), admin, policystore.DeleteRequest{Name: "web"}); err != nil {
		t.Fatal(err)
	}
	try("deleted by hand", false, true)
	p.set(func(p *page) { p.text = permits("math") })
	try("another text after the deletion", true, true)
	if v := newest(t, store, "web"); string(v.Text) != permits("math") {
		t.Errorf("the policy is %s", v.Text)
	}
}

// One tenant leaves others room for sources.
// A source may do what the token may that asked for it, and no longer than that.
func TestSourceOfARevokedToken(t *testing.T) {
	p := &page{text: permits("math")}
	s, o := server(t, p.ServeHTTP)
	store := newStore(t)
	r := newRefresher(t, store, "", o)
	secret, token, err := store.CreateToken(t.Context(), admin, policystore.TokenRequest{Name: "ci", Role: policystore.PolicyAdmin})
	if err != nil {
		t.Fatal(err)
	}
	ci, err := store.Authenticate(t.Context(), secret, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Pull(t.Context(), refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, Principal: ci}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.RevokeToken(t.Context(), admin, token.ID); err != nil {
		t.Fatal(err)
	}
	p.set(func(p *page) { p.text = permits("json") })
	if changed, err := r.TryNow(t.Context(), "web"); changed || !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("changed %t, %v", changed, err)
	}
	if v := newest(t, store, "web"); v.Number != 1 || !errors.Is(r.Sources()[0].LastError, policystore.ErrDenied) {
		t.Errorf("version %d, status %v", v.Number, r.Sources()[0].LastError)
	}
}

// A source's goroutine tries by itself, tells how it goes, and gets over a server that was
// away or gave garbage.
func TestFollowByItself(t *testing.T) {
	p := &page{text: permits("math")}
	s, o := server(t, p.ServeHTTP)
	o.Attempts = 1
	store := newStore(t)
	r := newRefresher(t, store, "", o)
	r.FollowOften(refresh.Source{Name: "web", URL: s.URL, Every: 5 * time.Millisecond, Principal: admin})
	status := func() refresh.Status { return r.Sources()[0] }
	number := func() uint64 {
		v, err := store.Get(t.Context(), "web", 0, policystore.Linearizable)
		if err != nil {
			return 0
		}
		return v.Number
	}
	await.That(t, "the first version", func() bool { return number() == 1 && !status().LastOK.IsZero() })
	p.set(func(p *page) { p.fails = true })
	await.That(t, "failures", func() bool {
		s := status()
		return s.Failures >= 2 && errors.Is(s.LastError, refresh.ErrUnavailable) && s.LastTry.After(s.LastOK) && s.NextTry.After(s.LastTry)
	})
	p.set(func(p *page) { p.fails, p.text = false, "garbage" })
	await.That(t, "a document with faults", func() bool { return errors.Is(status().LastError, policystore.ErrInvalid) })
	if n := number(); n != 1 {
		t.Errorf("the policy is at version %d", n)
	}
	p.set(func(p *page) { p.text = permits("json") })
	await.That(t, "the second version", func() bool { return number() == 2 && status().Failures == 0 && status().LastError == nil })
	if err := r.Remove("web"); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove("web"); !errors.Is(err, refresh.ErrNotFound) || len(r.Sources()) != 0 {
		t.Errorf("removed again: %v", err)
	}
}

// Sources outlive their node, and what it had of them is not stored again.
// What somebody put by hand stays over a start of the node, until the source gives something
// else: whether or not anything was ever stored from there, or long ago.
// A node that was killed after it stored a version, and before it noted that, does not store
// it again over what somebody put.
// What a source gave, and the server's word for it, outlive the node: nothing is sent again.
// What is to be followed must be written before it is.
// A source that fails is tried ever less often, and one that asks for time gets it.
func TestWaits(t *testing.T) {
	failed := errors.New("failed")
	for _, c := range []struct {
		name     string
		every    time.Duration
		failures int
		want     time.Duration
	}{
		{"none", 30 * time.Second, 0, 30 * time.Second},
		{"the first failure", 30 * time.Second, 1, 30 * time.Second},
		{"the third", 30 * time.Second, 3, 2 * time.Minute},
		{"many", 30 * time.Second, 1000, 10 * time.Minute},
		{"many, seldom", 24 * time.Hour, 1000, 24 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := refresh.After(refresh.Source{Every: c.every}, c.failures, failed)
			if got < c.want*9/10 || got > c.want*11/10 {
				t.Errorf("waits %s, want %s, a tenth more or less", got, c.want)
			}
		})
	}
}

func TestCloseEndsPulls(t *testing.T) {
	begun := make(chan struct{}, 1)
	s, o := server(t, func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
	})
	o.Timeout = time.Minute
	r := newRefresher(t, newStore(t), "", o)
	r.FollowOften(refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, Principal: admin})
	<-begun
	ended := make(chan struct{})
	go func() { defer close(ended); r.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("Close waits for a server that stalls")
	}
}

// One fetch of a document that has not changed, with and without a validator.
func BenchmarkFetch(b *testing.B) {
	for name, tag := range map[string]string{"whole": "", "not modified": `"1"`} {
		b.Run(name, func(b *testing.B) {
			p := &page{text: permits("math"), tag: tag}
			s, o := server(b, p.ServeHTTP)
			f := refresh.NewFetcher(o)
			defer f.Close()
			have := refresh.Validator{}
			for b.Loop() {
				got, err := f.Fetch(b.Context(), refresh.Source{URL: s.URL}, have)
				if err != nil {
					b.Fatal(err)
				}
				have = got.Validator
			}
		})
	}
}
