package kv

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
)

// writerEnv makes this binary a process that writes into the store it names.
const writerEnv = "PYISOLATE_TEST_KV_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		os.Exit(writeForever(path))
	}
	goleak.VerifyTestMain(m)
}

func openStore(t testing.TB, path string, c Config) *Store {
	t.Helper()
	s, err := Open(path, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a session with a store of its own.
func open(t testing.TB, c Config, grants ...string) *captest.Session {
	t.Helper()
	if len(grants) == 0 {
		grants = []string{"kv"}
	}
	return captest.Open(t, map[string]capability.Capability{Name: openStore(t, filepath.Join(t.TempDir(), "kv.db"), c)}, grants...)
}

func ask(t testing.TB, s *capability.Session, action string, args any) string {
	t.Helper()
	v, err := captest.Ask(s, Name, action, captest.JSON(args))
	if err != nil {
		t.Fatalf("%s %v: %v", action, args, err)
	}
	return string(v.Data)
}

type m map[string]any

func TestKV(t *testing.T) {
	s := open(t, Config{})
	get := func(key string) capability.Value {
		t.Helper()
		v, err := s.Ask(Name, "get", captest.JSON(m{"key": key}))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := get("none"); v.Type != capability.JSON || string(v.Data) != "null" {
		t.Error(v)
	}
	ask(t, s.Session, "put", m{"key": "a", "text": "one"})
	if v := get("a"); v.Type != capability.Bytes || string(v.Data) != "one" {
		t.Error(v)
	}
	ask(t, s.Session, "put", m{"key": "a", "base64": base64.StdEncoding.EncodeToString([]byte{0, 255})})
	if v := get("a"); !bytes.Equal(v.Data, []byte{0, 255}) {
		t.Error(v)
	}
	packed, _ := capability.Pack(m{"key": "a"}, []byte("raw"))
	if _, err := s.Do(context.Background(), capability.Request{Capability: Name, Action: "put", Payload: packed}); err != nil || string(get("a").Data) != "raw" {
		t.Error(err)
	}
	ask(t, s.Session, "put", m{"key": "empty", "text": ""})
	if v := get("empty"); v.Type != capability.Bytes || len(v.Data) != 0 {
		t.Error("an empty value is a value:", v)
	}
	if got := ask(t, s.Session, "usage", m{}); !strings.HasPrefix(got, fmt.Sprintf(`{"keys":2,"bytes":%d,`, 1+3+5+2*Overhead)) {
		t.Error(got)
	}
	for _, want := range []string{`{"deleted":true}`, `{"deleted":false}`} {
		if got := ask(t, s.Session, "delete", m{"key": "a"}); got != want {
			t.Error(got)
		}
	}
	if r := s.Records()[1]; r.Target != "a" {
		t.Errorf("record %+v", r)
	}
}

func TestCompareAndSwap(t *testing.T) {
	s := open(t, Config{})
	for i, c := range []struct {
		args m
		want bool
	}{
		{m{"key": "k", "expect": m{"text": ""}, "text": "x"}, false},
		{m{"key": "k", "expect": nil, "delete": true}, true},
		{m{"key": "k", "expect": nil, "text": "1"}, true},
		{m{"key": "k", "expect": nil, "text": "2"}, false},
		{m{"key": "k", "expect": m{"text": "2"}, "text": "3"}, false},
		{m{"key": "k", "expect": m{"text": "1"}, "base64": "AA=="}, true},
		{m{"key": "k", "expect": m{"base64": "AA=="}, "delete": true}, true},
		{m{"key": "k", "expect": nil, "text": "again"}, true},
	} {
		if got := ask(t, s.Session, "cas", c.args); got != fmt.Sprintf(`{"swapped":%v}`, c.want) {
			t.Errorf("%d %v: %s", i, c.args, got)
		}
	}
}

// Many cells of a tenant count up one key; none of the steps is lost.
func TestCompareAndSwapIsAtomic(t *testing.T) {
	s := open(t, Config{})
	ask(t, s.Session, "put", m{"key": "n", "text": "0"})
	var wg sync.WaitGroup
	for i := range 4 {
		session := s.As("acme", fmt.Sprintf("counter-%d", i), "kv")
		wg.Go(func() {
			for done := 0; done < 25; {
				v, err := captest.Ask(session, Name, "get", `{"key":"n"}`)
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				_, _ = fmt.Sscan(string(v.Data), &n)
				v, err = captest.Ask(session, Name, "cas", captest.JSON(m{"key": "n", "expect": m{"text": string(v.Data)}, "text": fmt.Sprint(n + 1)}))
				if err != nil {
					t.Error(err)
					return
				}
				if string(v.Data) == `{"swapped":true}` {
					done++
				}
			}
		})
	}
	wg.Wait()
	if v, err := s.Ask(Name, "get", `{"key":"n"}`); err != nil || string(v.Data) != "100" {
		t.Errorf("%s, %v", v.Data, err)
	}
}

func TestBadRequests(t *testing.T) {
	s := open(t, Config{}, `kv={"payload_bytes":"4MiB"}`)
	for _, c := range []struct {
		action string
		args   m
		kind   capability.Kind
	}{
		{"get", m{}, capability.Invalid},
		{"get", m{"key": strings.Repeat("k", MaxKey+1)}, capability.Invalid},
		{"get", m{"key": 5}, capability.Invalid},
		{"put", m{"key": "k"}, capability.Invalid},
		{"put", m{"key": "k", "text": "a", "base64": "YQ=="}, capability.Invalid},
		{"put", m{"key": "k", "text": "a", "expect": nil}, capability.Invalid},
		{"put", m{"key": "k", "text": "a", "ttl": 5}, capability.Invalid},
		{"put", m{"key": "k", "text": strings.Repeat("v", MaxValue+1)}, capability.TooLarge},
		{"delete", m{"key": "k", "text": "a"}, capability.Invalid},
		{"cas", m{"key": "k", "text": "a"}, capability.Invalid},
		{"cas", m{"key": "k", "expect": nil}, capability.Invalid},
		{"cas", m{"key": "k", "expect": nil, "text": "a", "delete": true}, capability.Invalid},
		{"cas", m{"key": "k", "expect": m{}, "text": "a"}, capability.Invalid},
		{"cas", m{"key": "k", "expect": "a", "text": "a"}, capability.Invalid},
		{"list", m{"limit": 0}, capability.Invalid},
		{"list", m{"limit": maxList + 1}, capability.Invalid},
		{"usage", m{"x": 1}, capability.Invalid},
		{"drop", m{}, capability.Invalid},
	} {
		v, err := s.Ask(Name, c.action, captest.JSON(c.args))
		if capability.KindOf(err) != c.kind {
			t.Errorf("%s: %v, %v, want %s", c.action, v, err, c.kind)
		}
	}
	if v, err := s.Ask(Name, "put", captest.JSON(m{"key": strings.Repeat("k", MaxKey), "text": strings.Repeat("v", MaxValue)})); err != nil {
		t.Error("the largest pair:", v, err)
	}
}

func TestList(t *testing.T) {
	s := open(t, Config{})
	for i := range 25 {
		ask(t, s.Session, "put", m{"key": fmt.Sprintf("a/%02d", i), "text": "xy"})
	}
	ask(t, s.Session, "put", m{"key": "b", "text": ""})
	list := func(args m) (l Listing) {
		t.Helper()
		if err := json.Unmarshal([]byte(ask(t, s.Session, "list", args)), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := list(m{}); len(l.Keys) != 26 || l.More || l.Keys[0] != (Key{"a/00", 2}) || l.Keys[25].Key != "b" {
		t.Errorf("%+v", l)
	}
	seen, after := 0, ""
	for more := true; more; {
		l := list(m{"prefix": "a/", "limit": 10, "after": after})
		seen, after, more = seen+len(l.Keys), l.Keys[len(l.Keys)-1].Key, l.More
	}
	if seen != 25 {
		t.Errorf("pages had %d keys", seen)
	}
	if l := list(m{"prefix": "a/", "after": "a"}); len(l.Keys) != 25 {
		t.Errorf("after something before the prefix: %d", len(l.Keys))
	}
	if l := list(m{"prefix": "c"}); len(l.Keys) != 0 || l.More {
		t.Errorf("%+v", l)
	}
}

// Where an answer has no room for a reserve, a key that fits is listed, and one that does not
// is refused: a page is never empty with more to come.
func TestAListingOfSmallAnswers(t *testing.T) {
	s := open(t, Config{})
	for _, key := range []string{"a", "b", strings.Repeat("c", 200)} {
		ask(t, s.Session, "put", m{"key": key, "text": ""})
	}
	small := s.As("acme", "small", `kv={"answer_bytes":64}`)
	for _, step := range []struct{ after, want string }{{"", "a"}, {"a", "b"}} {
		if got := ask(t, small, "list", m{"after": step.after}); got != `{"keys":[{"key":"`+step.want+`","size":0}],"more":true}` {
			t.Fatalf("after %q: %s", step.after, got)
		}
	}
	_, err := captest.Ask(small, Name, "list", captest.JSON(m{"after": "b"}))
	captest.Want(t, err, capability.TooLarge, "64 is the most")
}

func TestTenantsDoNotMeet(t *testing.T) {
	s := open(t, Config{})
	hostile := []string{"acme2", "acme/../other", "t/acme", "tenants", "data", "usage", "\x00", "\xff", "ac", "acme\x00", strings.Repeat("x", 300)}
	ask(t, s.Session, "put", m{"key": "k", "text": "acme's"})
	for _, tenant := range hostile {
		other := s.As(tenant, "c", "kv")
		if got := ask(t, other, "get", m{"key": "k"}); got != "null" {
			t.Errorf("%q sees %q", tenant, got)
		}
		if got := ask(t, other, "list", m{}); got != `{"keys":[],"more":false}` {
			t.Errorf("%q lists %s", tenant, got)
		}
		ask(t, other, "put", m{"key": "k", "text": tenant[:1] + "'s"})
		for _, key := range []string{"data", "usage", "t/acme"} {
			ask(t, other, "put", m{"key": key, "text": "x"})
			ask(t, other, "delete", m{"key": key})
		}
	}
	if got := ask(t, s.Session, "get", m{"key": "k"}); got != "acme's" {
		t.Errorf("acme finds %q", got)
	}
	if got := ask(t, s.As("acme", "c2", "kv"), "get", m{"key": "k"}); got != "acme's" {
		t.Errorf("another cell of the tenant finds %q", got)
	}
}

func TestQuotas(t *testing.T) {
	s := open(t, Config{Keys: 3, Bytes: 1000})
	quota := func(key, text string) error {
		_, err := s.Ask(Name, "put", captest.JSON(m{"key": key, "text": text}))
		return err
	}
	for _, key := range []string{"a", "b", "c"} {
		if err := quota(key, "v"); err != nil {
			t.Fatal(err)
		}
	}
	captest.Want(t, quota("d", "v"), capability.Quota, "the quota is 3")
	ask(t, s.Session, "delete", m{"key": "a"})
	if err := quota("d", "v"); err != nil {
		t.Error("with room again:", err)
	}
	captest.Want(t, quota("d", strings.Repeat("v", 1000)), capability.Quota, "1000")
	if got := ask(t, s.Session, "get", m{"key": "d"}); got != "v" {
		t.Errorf("a refused write left %q", got)
	}
	_, err := s.Ask(Name, "cas", captest.JSON(m{"key": "e", "expect": nil, "text": "v"}))
	captest.Want(t, err, capability.Quota)

	// A smaller grant than what is there: shrinking is allowed, growing is not.
	small := s.As("acme", "c2", `kv={"max_keys":1}`)
	if _, err := captest.Ask(small, Name, "put", `{"key":"d","text":""}`); err != nil {
		t.Error("shrinking:", err)
	}
	_, err = captest.Ask(small, Name, "put", `{"key":"d","text":"longer"}`)
	captest.Want(t, err, capability.Quota)
	if _, err := captest.Ask(small, Name, "delete", `{"key":"d"}`); err != nil {
		t.Error("deleting:", err)
	}
}

func TestGrants(t *testing.T) {
	s := open(t, Config{Keys: 10}, "kv=app/")
	ask(t, s.Session, "put", m{"key": "app/x", "text": "1"})
	for action, args := range map[string]m{"put": {"key": "x", "text": "1"}, "get": {"key": "ap"}, "list": {"prefix": "a"}} {
		_, err := s.Ask(Name, action, captest.JSON(args))
		captest.Want(t, err, capability.Denied, "prefix")
	}
	if got := ask(t, s.Session, "list", m{}); !strings.Contains(got, "app/x") {
		t.Error(got)
	}
	reader := s.As("acme", "c2", `kv={"read_only":true}`)
	ask(t, reader, "get", m{"key": "app/x"})
	for _, action := range []string{"put", "delete", "cas"} {
		_, err := captest.Ask(reader, Name, action, `{"key":"app/x"}`)
		captest.Want(t, err, capability.Denied, "reading")
	}
	for _, bad := range []string{`kv={"prefix":5}`, `kv={"prefix":["a","b"]}`, `kv={"max_keys":11}`, `kv={"max_keys":-1}`, `kv={"max_bytes":"1TiB"}`, `kv={"keys":1}`} {
		_, err := s.TryAs("t", "c", bad)
		captest.Want(t, err, capability.Invalid)
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	for i := range 3 {
		func() {
			s := captest.Open(t, map[string]capability.Capability{Name: openStore(t, path, Config{})}, "kv")
			defer func() { _ = s.Broker.Close(context.Background()) }()
			if got := ask(t, s.Session, "usage", m{}); !strings.HasPrefix(got, fmt.Sprintf(`{"keys":%d,`, i)) {
				t.Errorf("round %d: %s", i, got)
			}
			ask(t, s.Session, "put", m{"key": fmt.Sprint(i), "text": "v"})
		}()
	}
	first := openStore(t, path, Config{})
	defer func() { _ = first.Close() }()
	if _, err := Open(path, Config{}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
}

// writeForever writes pairs from two sessions and says each key when it is answered.
func writeForever(path string) int {
	store, err := Open(path, Config{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	b := capability.New(capability.Config{})
	if err := b.Register(Name, store); err != nil {
		return 1
	}
	var out sync.Mutex
	for w := range 2 {
		s, err := b.Open(capability.Identity{Tenant: "acme", Cell: fmt.Sprint(w)}, capability.Policy{Grants: []capability.Grant{{Capability: Name, Limits: capability.Limits{RPS: 1e6}}}})
		if err != nil {
			return 1
		}
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d", w, i)
				_, err := captest.Ask(s, Name, "put", captest.JSON(m{"key": key, "text": strings.Repeat("v", i%3000)}))
				out.Lock()
				fmt.Println(key, err)
				out.Unlock()
			}
		}()
	}
	select {} // until it is killed
}

// A process that writes is killed in the middle, again and again: what it was told
// is written is there, the file is sound, and the quota's numbers are those of what
// is held.
func TestKilledWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	for round := range 4 {
		answered := killWriter(t, path, 20+17*round)
		s := openStore(t, path, Config{})
		for _, key := range answered {
			if v, err := s.get("acme", []byte(key)); err != nil || v == nil {
				t.Errorf("round %d: %s was answered and is not there (%v)", round, key, err)
			}
		}
		checkSound(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter runs a writer until it has said so many keys and returns them.
func killWriter(t *testing.T, path string, keys int) (answered []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for len(answered) < keys && lines.Scan() {
		key, result, _ := strings.Cut(lines.Text(), " ")
		if result != "<nil>" {
			t.Errorf("the writer says %q", lines.Text())
			break
		}
		answered = append(answered, key)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // killed, as it should be
	if len(answered) < keys {
		t.Fatalf("the writer answered %d writes and ended", len(answered))
	}
	return answered
}

func checkSound(t *testing.T, s *Store) {
	t.Helper()
	err := s.db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Error("the file:", err)
		}
		b := tx.Bucket(tenantsBucket).Bucket(bucketName("acme"))
		var counted usage
		err := b.Bucket(dataBucket).ForEach(func(k, v []byte) error {
			counted.keys++
			counted.bytes += cost(k, v)
			return nil
		})
		if held := readUsage(b); held != counted {
			t.Errorf("usage says %+v, there is %+v", held, counted)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzRequests(f *testing.F) {
	f.Add("put", `{"key":"k","text":"v"}`)
	f.Add("cas", `{"key":"k","expect":{"text":"v"},"delete":true}`)
	f.Add("list", `{"prefix":"k","after":"k","limit":3}`)
	f.Add("get", `{"key":"\ud800"}`)
	store := openStore(f, filepath.Join(f.TempDir(), "kv.db"), Config{Keys: 20, Bytes: 10_000})
	store.db.NoSync = true
	s := captest.Open(f, map[string]capability.Capability{Name: store}, `kv={"rps":1000000,"burst":1000000}`)
	f.Fuzz(func(t *testing.T, action, payload string) {
		v, err := s.Ask(Name, action, payload)
		switch capability.KindOf(err) {
		case capability.OK, capability.Invalid, capability.Quota, capability.TooLarge:
		default:
			t.Fatalf("%s %s: %v %v", action, payload, v, err)
		}
		_ = store.view("acme", func(_ *bolt.Bucket, held usage) {
			if held.exceeds(store.quota) || held.keys < 0 || held.bytes < 0 {
				t.Fatalf("after %s %s: %+v", action, payload, held)
			}
		})
	})
}

func BenchmarkKV(b *testing.B) {
	store := openStore(b, filepath.Join(b.TempDir(), "kv.db"), Config{})
	defer func() { _ = store.Close() }()
	scope, err := store.Scope(capability.Identity{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	do := func(b *testing.B, action, payload string) {
		c := &capability.Call{Identity: capability.Identity{Tenant: "t"}, Scope: scope, MaxAnswer: 1 << 20,
			Request: capability.Request{Action: action, Payload: capability.Value{Data: []byte(payload)}}}
		if _, err := store.Do(context.Background(), c); err != nil {
			b.Fatal(err)
		}
	}
	put := captest.JSON(m{"key": "k", "text": strings.Repeat("v", 1024)})
	b.Run("put 1 kB", func(b *testing.B) {
		for b.Loop() {
			do(b, "put", put)
		}
	})
	b.Run("put 1 kB, 64 at once", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				do(b, "put", put)
			}
		})
	})
	b.Run("get 1 kB", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			do(b, "get", `{"key":"k"}`)
		}
	})
}
