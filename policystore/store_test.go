package policystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pyisolate/pyisolate/policystore/document"
)

func TestPolicies(t *testing.T) {
	ctx, clock := t.Context(), newClock()
	s := openTest(t, Config{Now: clock.now})
	first, err := s.Put(ctx, editor, PutRequest{Name: "etl", Text: []byte("one"), Comment: "why", Source: "https://example.com/etl.yml"})
	if err != nil {
		t.Fatal(err)
	}
	want := Version{
		Name: "etl", Number: 1, Hash: first.Hash, Text: []byte("one"), Author: "editor", Comment: "why",
		Time: clock.at, Source: "https://example.com/etl.yml",
	}
	if diff := cmp.Diff(want, first, cmpopts.IgnoreFields(Version{}, "Index")); diff != "" {
		t.Error(diff)
	}
	clock.add(-time.Hour) // a leader whose clock goes back
	second := mustPut(t, s, "etl", "two")
	if second.Number != 2 || second.Index <= first.Index || !second.Time.Equal(first.Time) {
		t.Errorf("%+v", second)
	}
	deleted, err := s.Delete(ctx, editor, DeleteRequest{Name: "etl", Expect: number(2)})
	if err != nil || deleted.Number != 3 || !deleted.Deleted || deleted.Hash != [32]byte{} {
		t.Fatal(deleted, err)
	}
	if _, err := s.Get(ctx, "etl", 0, Linearizable); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	back, err := s.Rollback(ctx, editor, RollbackRequest{Name: "etl", To: 1, Expect: number(0), Comment: "it was right"})
	if err != nil || back.Number != 4 || back.Hash != first.Hash || back.Source != "rollback:1" {
		t.Fatal(back, err)
	}
	for n, text := range map[uint64]string{0: "one", 1: "one", 2: "two", 3: "", 4: "one"} {
		for _, c := range []Consistency{Linearizable, Stale} {
			if v, err := s.Get(ctx, "etl", n, c); err != nil || string(v.Text) != text {
				t.Errorf("version %d: %q, %v", n, v.Text, err)
			}
		}
	}
	history, err := s.History(ctx, "etl", 0, 10)
	if err != nil || len(history) != 4 || history[0].Number != 4 || history[3].Comment != "why" || history[3].Text != nil {
		t.Errorf("%+v, %v", history, err)
	}
	if history, err = s.History(ctx, "etl", 4, 2); err != nil || len(history) != 2 || history[0].Number != 3 || history[1].Number != 2 {
		t.Errorf("%+v, %v", history, err)
	}
	if sum, err := s.VerifyAudit(ctx); err != nil || sum.Records != 4 || sum.Versions != 4 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestRefusals(t *testing.T) {
	ctx := t.Context()
	invalid := errors.New("line 3: no")
	s := openTest(t, Config{Validate: func(_ string, text []byte) error {
		if string(text) == "bad" {
			return invalid
		}
		return nil
	}})
	mustPut(t, s, "etl", "one")
	mustPut(t, s, "etl", "two")
	mustPut(t, s, "acme/etl", "one")
	if _, err := s.Delete(ctx, editor, DeleteRequest{Name: "acme/etl"}); err != nil {
		t.Fatal(err)
	}
	put := func(p Principal, r PutRequest) error {
		if r.Text == nil {
			r.Text = []byte("text")
		}
		_, err := s.Put(ctx, p, r)
		return err
	}
	roll := func(name string, to uint64) error {
		_, err := s.Rollback(ctx, editor, RollbackRequest{Name: name, To: to})
		return err
	}
	remove := func(p Principal, r DeleteRequest) error {
		_, err := s.Delete(ctx, p, r)
		return err
	}
	for name, c := range map[string]struct {
		err  error
		is   error
		says string
	}{
		"document":             {put(editor, PutRequest{Name: "etl", Text: []byte("bad")}), ErrInvalid, "line 3: no"},
		"document's own error": {put(editor, PutRequest{Name: "etl", Text: []byte("bad")}), invalid, ""},
		"empty":                {put(editor, PutRequest{Name: "etl", Text: []byte{}}), ErrInvalid, "0 bytes"},
		"large":                {put(editor, PutRequest{Name: "etl", Text: make([]byte, MaxText+1)}), ErrInvalid, "1048577 bytes"},
		"name":                 {put(editor, PutRequest{Name: "../etl"}), ErrInvalid, `".." must be`},
		"comment":              {put(editor, PutRequest{Name: "etl", Comment: strings.Repeat("x", 1025)}), ErrInvalid, "1025 bytes"},
		"control":              {put(editor, PutRequest{Name: "etl", Comment: "a\x1b[1mb"}), ErrInvalid, "control"},
		"C1":                   {put(editor, PutRequest{Name: "etl", Comment: "a\u009b2Jb"}), ErrInvalid, "control"},
		"right to left":        {put(editor, PutRequest{Name: "etl", Comment: "a\u202eb"}), ErrInvalid, "invisible"},
		"lines":                {put(editor, PutRequest{Name: "etl", Source: "a\nb"}), ErrInvalid, "the source"},
		"request id":           {put(editor, PutRequest{Name: "etl", RequestID: strings.Repeat("x", 129)}), ErrInvalid, "the request id"},
		"source":               {put(editor, PutRequest{Name: "etl", Source: "rollback:1"}), ErrInvalid, "rollback:"},
		"nobody":               {put(Principal{Role: Admin}, PutRequest{Name: "etl"}), ErrInvalid, "principal"},
		"no role":              {put(Principal{Name: "x"}, PutRequest{Name: "etl"}), ErrInvalid, "role 0"},
		"no token's id":        {put(Principal{Name: "x", Role: Admin, TokenID: strings.Repeat("a", 17)}, PutRequest{Name: "etl"}), ErrInvalid, "not a token's id"},
		"viewer":               {put(reader, PutRequest{Name: "etl"}), ErrDenied, "needs the role policy-admin"},
		"other tenant":         {put(acme, PutRequest{Name: "other/etl"}), ErrDenied, "bound to tenant acme"},
		"shared":               {put(acme, PutRequest{Name: "etl"}), ErrDenied, "bound to tenant acme"},
		"other version":        {put(editor, PutRequest{Name: "etl", Expect: number(1)}), ErrConflict, "newest version of policy etl is 2; 1"},
		"exists":               {put(editor, PutRequest{Name: "etl", Expect: number(0)}), ErrConflict, "is 2; 0"},
		"does not exist":       {put(editor, PutRequest{Name: "new", Expect: number(1)}), ErrConflict, "does not exist"},
		"delete nothing":       {remove(editor, DeleteRequest{Name: "new"}), ErrNotFound, "new"},
		"delete deleted":       {remove(editor, DeleteRequest{Name: "acme/etl"}), ErrNotFound, "acme/etl"},
		"delete other version": {remove(editor, DeleteRequest{Name: "etl", Expect: number(3)}), ErrConflict, ""},
		"delete as operator":   {remove(Principal{Name: "o", Role: Operator}, DeleteRequest{Name: "etl"}), ErrDenied, ""},
		"roll back nothing":    {roll("new", 1), ErrNotFound, ""},
		"roll back too far":    {roll("etl", 3), ErrNotFound, "there is no 3"},
		"roll back a deletion": {roll("acme/etl", 2), ErrInvalid, "deletion"},
	} {
		if !errors.Is(c.err, c.is) || !strings.Contains(fmt.Sprint(c.err), c.says) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	if v, err := s.Get(ctx, "etl", 0, Linearizable); err != nil || v.Number != 2 {
		t.Errorf("refusals changed something: %+v, %v", v, err)
	}
	if err := put(acme, PutRequest{Name: "acme/etl", Expect: number(2)}); err != nil {
		t.Errorf("a deletion's number can be expected: %v", err)
	}
}

// TestDocuments has the standard validation.
func TestDocuments(t *testing.T) {
	s := openTest(t, Config{Validate: ValidateDocuments(document.Options{})})
	good := "version: 1.0\nsandboxes:\n  a:\n    imports: [math]\n"
	mustPut(t, s, "etl", good)
	for text, says := range map[string]string{
		"one": "etl:1:1", good + "    memory: 3\n": "etl:5:5", good + "    extends: b\n": "etl:5",
	} {
		_, err := s.Put(t.Context(), editor, PutRequest{Name: "etl", Text: []byte(text)})
		var problems document.Problems
		if !errors.Is(err, ErrInvalid) || !errors.As(err, &problems) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	ctx := t.Context()
	s := openTest(t, Config{})
	r := PutRequest{Name: "etl", Text: []byte("one"), RequestID: "1", Expect: number(0)}
	first, err := s.Put(ctx, editor, r)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "etl", "two")
	again, err := s.Put(ctx, editor, r)
	if err != nil || !cmp.Equal(first, again) {
		t.Errorf("%v, %s", err, cmp.Diff(first, again))
	}
	r.Text = []byte("other")
	if _, err := s.Put(ctx, editor, r); !errors.Is(err, ErrInvalid) {
		t.Errorf("another request with the same id: %v", err)
	}
	r.Expect = number(2)
	if v, err := s.Put(ctx, root, r); err != nil || v.Number != 3 {
		t.Errorf("another principal with the same id: %v, %v", v, err)
	}
	d := DeleteRequest{Name: "etl", RequestID: "2"}
	for range 2 {
		if v, err := s.Delete(ctx, editor, d); err != nil || v.Number != 4 {
			t.Errorf("%+v, %v", v, err)
		}
	}
}

// TestRequestIDsAreApart has principals of the same name take the same id.
func TestRequestIDsAreApart(t *testing.T) {
	s := openTest(t, Config{})
	tenants := func(name string) Principal {
		secret, _ := mustCreate(t, s, TokenRequest{Name: name, Role: PolicyAdmin, Tenant: "acme"})
		p, err := s.Authenticate(t.Context(), secret, "here")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for i, p := range []Principal{{Name: "ann", Role: Admin}, {Name: "ann", Role: Admin, Tenant: "acme"}, tenants("ann"), tenants("ann")} {
		v, err := s.Put(t.Context(), p, PutRequest{Name: "acme/etl", Text: fmt.Append(nil, i), RequestID: "1"})
		if err != nil || v.Number != uint64(i+1) {
			t.Errorf("%+v: version %d, %v", p, v.Number, err)
		}
	}
}

// TestConcurrentSwaps has several count by compare-and-swap: each number is taken once.
func TestConcurrentSwaps(t *testing.T) {
	s := openTest(t, Config{})
	const counters, each = 5, 20
	var group sync.WaitGroup
	for i := range counters {
		group.Go(func() {
			for made := 0; made < each; {
				at := uint64(0)
				v, err := s.Get(t.Context(), "count", 0, Linearizable)
				if err == nil {
					at = v.Number
				} else if !errors.Is(err, ErrNotFound) {
					t.Error(err)
					return
				}
				next, err := s.Put(t.Context(), editor, PutRequest{Name: "count", Text: fmt.Append(nil, i), Expect: &at})
				switch {
				case err == nil && next.Number == at+1:
					made++
				case !errors.Is(err, ErrConflict):
					t.Errorf("version %d behind %d, %v", next.Number, at, err)
					return
				}
			}
		})
	}
	group.Wait()
	if v, err := s.Get(t.Context(), "count", 0, Linearizable); err != nil || v.Number != counters*each {
		t.Errorf("version %d, %v", v.Number, err)
	}
}

func TestList(t *testing.T) {
	ctx := t.Context()
	s := openTest(t, Config{})
	for _, name := range []string{"a", "acme/a", "acme/b", "acme/c", "acmes", "b"} {
		mustPut(t, s, name, name)
	}
	if _, err := s.Delete(ctx, editor, DeleteRequest{Name: "acme/b"}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r    ListRequest
		want string
		more bool
	}{
		"all":            {ListRequest{}, "a acme/a acme/c acmes b", false},
		"deleted, too":   {ListRequest{Deleted: true}, "a acme/a acme/b acme/c acmes b", false},
		"prefix":         {ListRequest{Prefix: "acme/"}, "acme/a acme/c", false},
		"limit":          {ListRequest{Limit: 2}, "a acme/a", true},
		"limit at end":   {ListRequest{Limit: 2, After: "acme/c"}, "acmes b", false},
		"after":          {ListRequest{Prefix: "acme/", After: "acme/a"}, "acme/c", false},
		"after prefix":   {ListRequest{Prefix: "acme/", After: "b"}, "", false},
		"before prefix":  {ListRequest{Prefix: "acme/", After: "a"}, "acme/a acme/c", false},
		"of a tenant":    {ListRequest{Limit: 2, Of: &Principal{Role: Viewer, Tenant: "other"}}, "a acmes", true},
		"of its last":    {ListRequest{Limit: 3, Of: &Principal{Role: Viewer, Tenant: "acme"}}, "a acme/a acme/c", true},
		"nobody's more":  {ListRequest{Limit: 2, After: "a", Of: &Principal{Role: Viewer, Tenant: "other"}}, "acmes b", false},
		"no such prefix": {ListRequest{Prefix: "x"}, "", false},
	} {
		l, err := s.List(ctx, c.r, Linearizable)
		var names []string
		for _, v := range l.Versions {
			names = append(names, v.Name)
		}
		if err != nil || strings.Join(names, " ") != c.want || l.More != c.more || l.Index == 0 {
			t.Errorf("%s: %v %+v, %v", name, names, l, err)
		}
	}
	if _, err := s.List(ctx, ListRequest{Limit: -1}, Stale); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	w, err := s.Watch(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan error)
	go func() {
		_, err := w.Next(context.Background())
		next <- err
	}()
	mustClose(t, s)
	if err := <-next; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error("closing again:", err)
	}
	if _, err := s.Put(t.Context(), editor, PutRequest{Name: "a", Text: []byte("x")}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "a", 0, Stale); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	openTest(t, Config{Dir: dir})
	_, err := Open(t.Context(), Config{Dir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Config{}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestAnotherNode(t *testing.T) {
	dir := t.TempDir()
	mustClose(t, mustOpen(t, Config{Dir: dir, NodeID: "one"}))
	_, err := Open(t.Context(), Config{Dir: dir, NodeID: "two"})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "this node is two") {
		t.Error(err)
	}
	mustClose(t, mustOpen(t, Config{Dir: dir, NodeID: "one"}))
}

func TestContext(t *testing.T) {
	s := openTest(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, putErr := s.Put(ctx, editor, PutRequest{Name: "a", Text: []byte("x")})
	_, getErr := s.Get(ctx, "a", 0, Linearizable)
	w, err := s.Watch(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, nextErr := w.Next(ctx)
	for what, err := range map[string]error{"put": putErr, "get": getErr, "next": nextErr} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUncertain) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir() + "/store"
	openTest(t, Config{Dir: dir})
	for path, want := range map[string]os.FileMode{dir: 0o700, dir + "/raft.db": 0o600, dir + "/state.db": 0o600, dir + "/LOCK": 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// TestUnreadableCommand proposes what no node could read again. The store goes on.
func TestUnreadableCommand(t *testing.T) {
	s := openTest(t, Config{})
	p := editor
	p.TokenID = strings.Repeat("a", maxTokenID+1)
	for name, c := range map[string]*command{
		"token id": {action: PutPolicy, principal: p, name: "etl", text: []byte("x")},
		"action":   {action: 99, principal: editor},
		"text":     {action: PutPolicy, principal: editor, name: "etl", text: make([]byte, MaxText+1)},
	} {
		if _, err := s.propose(t.Context(), c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustPut(t, s, "etl", "x")
}
