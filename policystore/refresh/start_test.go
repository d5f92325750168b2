package refresh_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

func TestStartLeavesWhatIsThere(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(t *testing.T, store *policystore.Store) // the source is first pulled
		after  func(t *testing.T, file string)              // the node has ended
	}{
		{"the source gave what was there", func(t *testing.T, s *policystore.Store) { put(t, s, permits("math")) }, func(*testing.T, string) {}},
		{"a version is from the source", func(*testing.T, *policystore.Store) {}, func(*testing.T, string) {}},
		{"what it gave is not in the file", func(*testing.T, *policystore.Store) {}, func(t *testing.T, file string) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text = regexp.MustCompile(`(?s),\s*"seen": \{.*?\}`).ReplaceAll(text, nil)
			if err := os.WriteFile(file, text, 0o600); err != nil || bytes.Contains(text, []byte("seen")) {
				t.Fatalf("%s, %v", text, err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &page{text: permits("math"), tag: `"1"`}
			s, o := server(t, p.ServeHTTP)
			store, file := newStore(t), filepath.Join(t.TempDir(), "sources.json")
			c.before(t, store)
			first := newRefresher(t, store, file, o)
			if _, _, err := first.Pull(t.Context(), refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, Principal: admin}); err != nil {
				t.Fatal(err)
			}
			first.Close()
			c.after(t, file)
			locked := put(t, store, permits(""))
			again := newRefresher(t, store, file, o)
			await.That(t, "a try after the start", func() bool { return !again.Sources()[0].LastOK.IsZero() })
			if v := newest(t, store, "web"); v.Number != locked.Number {
				t.Fatalf("version %d by %s: %s", v.Number, v.Source, v.Text)
			}
			p.set(func(p *page) { p.text, p.tag = permits("json"), `"2"` })
			if changed, err := again.TryNow(t.Context(), "web"); !changed || err != nil {
				t.Errorf("something else: changed %t, %v", changed, err)
			}
		})
	}
}

func TestStartAfterAVersionThatWasNotNoted(t *testing.T) {
	p := &page{text: permits("math")}
	s, o := server(t, p.ServeHTTP)
	store, file := newStore(t), filepath.Join(t.TempDir(), "sources.json")
	first := newRefresher(t, store, file, o)
	if _, _, err := first.Pull(t.Context(), refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, Principal: admin}); err != nil {
		t.Fatal(err)
	}
	noted, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p.set(func(p *page) { p.text = permits("json") })
	if changed, err := first.TryNow(t.Context(), "web"); !changed || err != nil {
		t.Fatalf("changed %t, %v", changed, err)
	}
	first.Close()
	if err := os.WriteFile(file, noted, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := put(t, store, permits(""))
	again := newRefresher(t, store, file, o)
	await.That(t, "a try after the start", func() bool { return !again.Sources()[0].LastOK.IsZero() })
	if v := newest(t, store, "web"); v.Number != locked.Number {
		t.Errorf("version %d by %s: %s", v.Number, v.Source, v.Text)
	}
}

func TestValidatorIsKept(t *testing.T) {
	p := &page{text: permits("math"), tag: `"1"`}
	s, o := server(t, p.ServeHTTP)
	store, file := newStore(t), filepath.Join(t.TempDir(), "sources.json")
	first := newRefresher(t, store, file, o)
	if _, _, err := first.Pull(t.Context(), refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, Principal: admin}); err != nil {
		t.Fatal(err)
	}
	p.set(func(p *page) { p.text, p.tag = permits("json"), `"2"` })
	if changed, err := first.TryNow(t.Context(), "web"); !changed || err != nil {
		t.Fatalf("changed %t, %v", changed, err)
	}
	first.Close()
	_, before := p.counts()
	again := newRefresher(t, store, file, o)
	await.That(t, "a try after the start", func() bool { return !again.Sources()[0].LastOK.IsZero() })
	if _, after := p.counts(); after != before {
		t.Error("the document was sent again")
	}
}

func put(t *testing.T, s *policystore.Store, text string) policystore.Version {
	t.Helper()
	v, err := s.Put(t.Context(), admin, policystore.PutRequest{Name: "web", Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
