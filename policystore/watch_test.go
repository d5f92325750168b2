package policystore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// openLimited opens a store with limits of its own.
func openLimited(t testing.TB, c Config, l limits) *Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	c.Logger, c.Validate = testLog(t), anything
	s, err := open(t.Context(), c, l)
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

func mustWatch(t testing.TB, s *Store, prefix string, from uint64) *Watch {
	t.Helper()
	w, err := s.Watch(t.Context(), prefix, from)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustNext(t testing.TB, w *Watch) Version {
	t.Helper()
	e, err := w.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e.Version
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	all, some := mustWatch(t, s, "", 0), mustWatch(t, s, "acme/", 0)
	var want, wantSome []Version
	for i := range 6 {
		name := []string{"acme/a", "b"}[i%2]
		v := mustPut(t, s, name, fmt.Sprint(i))
		want = append(want, v)
		if name == "acme/a" {
			wantSome = append(wantSome, v)
		}
	}
	deleted, err := s.Delete(t.Context(), editor, DeleteRequest{Name: "acme/a"})
	if err != nil {
		t.Fatal(err)
	}
	want, wantSome = append(want, deleted), append(wantSome, deleted)
	check := func(w *Watch, want []Version) {
		t.Helper()
		for _, v := range want {
			if diff := cmp.Diff(v, mustNext(t, w)); diff != "" {
				t.Error(diff)
			}
		}
	}
	check(all, want)
	check(some, wantSome)
	check(mustWatch(t, s, "", want[2].Index), want[3:])
	l, err := s.List(t.Context(), ListRequest{}, Linearizable)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)

	s = openTest(t, Config{Dir: dir})
	check(mustWatch(t, s, "", 0), want)
	w := mustWatch(t, s, "", l.Index)
	v := mustPut(t, s, "c", "after the listing")
	check(w, []Version{v})
}

func TestWatchCompacted(t *testing.T) {
	l := standardLimits
	l.changes = 3
	s := openLimited(t, Config{}, l)
	slow := mustWatch(t, s, "", 0)
	var versions []Version
	for i := range 3 {
		versions = append(versions, mustPut(t, s, "a", fmt.Sprint(i)))
	}
	if v := mustNext(t, slow); v.Number != 1 {
		t.Error(v)
	}
	versions = append(versions, mustPut(t, s, "a", "3"))
	if v := mustNext(t, slow); v.Number != 2 {
		t.Error("it had seen what was dropped, and yet:", v)
	}
	for i := range 3 {
		versions = append(versions, mustPut(t, s, "a", fmt.Sprint(4+i)))
	}
	if _, err := slow.Next(t.Context()); !errors.Is(err, ErrCompacted) {
		t.Error(err)
	}
	for _, from := range []uint64{0, versions[2].Index} {
		if _, err := s.Watch(t.Context(), "", from); !errors.Is(err, ErrCompacted) {
			t.Errorf("from %d: %v", from, err)
		}
	}
	if v := mustNext(t, mustWatch(t, s, "", versions[3].Index)); v.Number != 5 {
		t.Error(v)
	}
	if st, err := s.Status(t.Context()); err != nil || st.Compacted != versions[3].Index {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestWatchersSeeAll has watchers run beside writers: each sees every change once, in order.
func TestWatchersSeeAll(t *testing.T) {
	s := openTest(t, Config{})
	const writers, each = 4, 15
	var group sync.WaitGroup
	for i := range 3 {
		w := mustWatch(t, s, "", 0)
		group.Go(func() {
			last, numbers := uint64(0), map[string]uint64{}
			for range writers * each {
				e, err := w.Next(context.Background())
				if err != nil {
					t.Errorf("watcher %d: %v", i, err)
					return
				}
				v := e.Version
				if v.Index <= last || v.Number != numbers[v.Name]+1 || string(v.Text) != fmt.Sprint(v.Name, v.Number) {
					t.Errorf("watcher %d: %+v behind index %d and number %d", i, v, last, numbers[v.Name])
				}
				last, numbers[v.Name] = v.Index, v.Number
			}
		})
	}
	for i := range writers {
		group.Go(func() {
			name := fmt.Sprint("policy", i)
			for n := range each {
				mustPut(t, s, name, fmt.Sprint(name, n+1))
			}
		})
	}
	group.Wait()
}

func BenchmarkWatch(b *testing.B) {
	s := openTest(b, Config{})
	w := mustWatch(b, s, "", 0)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		mustPut(b, s, "policy", fmt.Sprint(i))
		b.StartTimer()
		mustNext(b, w)
	}
}
