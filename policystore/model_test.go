package policystore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// model is what the store should say, in the simplest form.
type model map[string][]modelVersion

type modelVersion struct {
	text    string
	deleted bool
}

func (m model) newest(name string) (number uint64, exists bool) {
	versions := m[name]
	n := len(versions)
	return uint64(n), n > 0 && !versions[n-1].deleted
}

// change is what a change with an expectation should come to.
func (m model) change(name string, expect *uint64, v func() (modelVersion, error)) error {
	newest, exists := m.newest(name)
	if expect != nil && *expect != newest && (*expect != 0 || exists) {
		return ErrConflict
	}
	version, err := v()
	if err == nil {
		m[name] = append(m[name], version)
	}
	return err
}

// modelled is a store beside a model of it.
type modelled struct {
	dir   string
	store *Store
	model model
	space string // the names of this run begin with it
}

func (m *modelled) name(t *rapid.T) string {
	return m.space + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
}

func (m *modelled) expect(t *rapid.T) *uint64 {
	if rapid.Bool().Draw(t, "expects") {
		return number(rapid.Uint64Range(0, 6).Draw(t, "expect"))
	}
	return nil
}

// agree compares an outcome with the model's.
func (m *modelled) agree(t *rapid.T, name string, v Version, got, want error) {
	t.Helper()
	if want != nil {
		if !errors.Is(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		return
	}
	newest := m.model[name][len(m.model[name])-1]
	if got != nil || v.Number != uint64(len(m.model[name])) || v.Deleted != newest.deleted {
		t.Fatalf("%+v, %v, want version %d", v, got, len(m.model[name]))
	}
	if !v.Deleted && v.Hash != sha256.Sum256([]byte(newest.text)) {
		t.Fatalf("%+v has another hash than %q", v, newest.text)
	}
}

func (m *modelled) put(t *rapid.T) {
	name, expect := m.name(t), m.expect(t)
	text := rapid.StringN(1, 20, 200).Draw(t, "text")
	want := m.model.change(name, expect, func() (modelVersion, error) { return modelVersion{text: text}, nil })
	v, err := m.store.Put(context.Background(), editor, PutRequest{Name: name, Text: []byte(text), Expect: expect})
	m.agree(t, name, v, err, want)
}

func (m *modelled) remove(t *rapid.T) {
	name, expect := m.name(t), m.expect(t)
	want := m.model.change(name, expect, func() (modelVersion, error) {
		if _, exists := m.model.newest(name); !exists {
			return modelVersion{}, ErrNotFound
		}
		return modelVersion{deleted: true}, nil
	})
	v, err := m.store.Delete(context.Background(), editor, DeleteRequest{Name: name, Expect: expect})
	m.agree(t, name, v, err, want)
}

func (m *modelled) rollback(t *rapid.T) {
	name, expect, to := m.name(t), m.expect(t), rapid.Uint64Range(1, 6).Draw(t, "to")
	want := ErrNotFound // whatever is expected
	if to <= uint64(len(m.model[name])) {
		want = m.model.change(name, expect, func() (modelVersion, error) {
			old := m.model[name][to-1]
			if old.deleted {
				return old, ErrInvalid
			}
			return old, nil
		})
	}
	v, err := m.store.Rollback(context.Background(), editor, RollbackRequest{Name: name, To: to, Expect: expect})
	m.agree(t, name, v, err, want)
}

func (m *modelled) get(t *rapid.T) {
	name, n := m.name(t), rapid.Uint64Range(0, 6).Draw(t, "number")
	v, err := m.store.Get(context.Background(), name, n, Linearizable)
	newest, exists := m.model.newest(name)
	if n > newest || n == 0 && !exists {
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("version %d of %d: %v", n, newest, err)
		}
		return
	}
	if n == 0 {
		n = newest
	}
	if want := m.model[name][n-1]; err != nil || v.Number != n || string(v.Text) != want.text || v.Deleted != want.deleted {
		t.Fatalf("%+v, %v, want %+v", v, err, want)
	}
}

// check compares all histories and the listing.
func (m *modelled) check(t *rapid.T) {
	ctx := context.Background()
	l, err := m.store.List(ctx, ListRequest{Prefix: m.space}, Linearizable)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]uint64{}
	for _, v := range l.Versions {
		listed[v.Name] = v.Number
	}
	for name, versions := range m.model {
		newest, exists := m.model.newest(name)
		if (listed[name] == newest) != exists {
			t.Fatalf("%s is listed as %d, want %d, %v", name, listed[name], newest, exists)
		}
		history, err := m.store.History(ctx, name, 0, maxHistory)
		if err != nil || len(history) != len(versions) {
			t.Fatalf("%d versions of %s, %v, want %d", len(history), name, err, len(versions))
		}
		for i, v := range history {
			if n := len(versions) - i; v.Number != uint64(n) || v.Deleted != versions[n-1].deleted {
				t.Fatalf("%s: %+v, want version %d, %+v", name, v, n, versions[n-1])
			}
		}
	}
}

func (m *modelled) reopen(t *rapid.T, prepare func() error) {
	if err := errors.Join(m.store.Close(), prepare()); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.store, err = Open(context.Background(), Config{Dir: m.dir, Validate: anything}); err != nil {
		t.Fatal(err)
	}
}

func (m *modelled) restart(t *rapid.T) { m.reopen(t, func() error { return nil }) }

func (m *modelled) snapshot(t *rapid.T) {
	if err := m.store.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !strings.Contains(err.Error(), "wait until the configuration entry") {
		t.Fatal(err)
	}
}

// loseState has the state made anew from snapshot and log.
func (m *modelled) loseState(t *rapid.T) {
	m.reopen(t, func() error { return os.Remove(filepath.Join(m.dir, stateFile)) })
}

// TestModel runs random operations on a store and on a model of it.
func TestModel(t *testing.T) {
	m := &modelled{dir: t.TempDir()}
	m.store = mustOpen(t, Config{Dir: m.dir, SnapshotEvery: 64})
	defer func() { mustClose(t, m.store) }()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		if run++; testing.Short() && run > 10 {
			return
		}
		m.model, m.space = model{}, fmt.Sprintf("run%d/", run)
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "put": m.put, "put2": m.put, "put3": m.put, "delete": m.remove, "rollback": m.rollback, "get": m.get,
			"restart": rarely(m.restart), "snapshot": rarely(m.snapshot), "loseState": rarely(m.loseState),
		})
		if _, err := m.store.VerifyAudit(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

func rarely(f func(*rapid.T)) func(*rapid.T) {
	return func(t *rapid.T) {
		if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
			f(t)
		}
	}
}
