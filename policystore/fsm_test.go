package policystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/policystore/token"
)

func newFSM(t testing.TB, l limits) *fsm {
	t.Helper()
	f, done := openFSM(t, t.TempDir(), l)
	t.Cleanup(done)
	return f
}

// openFSM opens a state that done closes and removes.
func openFSM(t testing.TB, dir string, l limits) (f *fsm, done func()) {
	t.Helper()
	s, err := openState(filepath.Join(dir, stateFile), l)
	if err != nil {
		t.Fatal(err)
	}
	return &fsm{s}, func() {
		if err := errors.Join(s.close(), os.Remove(s.path)); err != nil {
			t.Error(err)
		}
	}
}

func (f *fsm) digest(t testing.TB) (d Digest) {
	t.Helper()
	err := f.view(func(tx *transaction) error {
		d = tx.digest()
		return tx.verify()
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// smallLimits are reached soon.
var smallLimits = limits{policies: 8, versions: 24, textBytes: 200, tokens: 3, perPolicy: 6, changes: 5, requests: 3, logBytes: 1 << 20}

// randomCommand is anything a leader could propose, sensible or not.
func randomCommand(t *rapid.T) *command {
	small := func(label string) uint64 { return rapid.Uint64Range(0, 5).Draw(t, label) }
	c := &command{
		action: rapid.SampledFrom([]Action{PutPolicy, PutPolicy, PutPolicy, DeletePolicy, RollbackPolicy, CreateToken, RevokeToken, FirstToken}).Draw(t, "action"),
		time:   time.Unix(1_800_000_000+rapid.Int64Range(-100, 100).Draw(t, "seconds"), 0).UTC(),
		principal: Principal{
			Name: rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "principal"), Role: rapid.SampledFrom([]Role{Viewer, PolicyAdmin, Admin, Admin, Admin, Admin}).Draw(t, "role"),
			TokenID: rapid.SampledFrom([]string{"", "", "", "", "", "", "0000000000000001"}).Draw(t, "token"),
		},
	}
	if rapid.IntRange(0, 3).Draw(t, "bound") == 0 {
		c.principal.Tenant = "acme"
	}
	id := fmt.Sprintf("%016x", small("id"))
	switch c.action {
	case CreateToken, FirstToken:
		c.token = tokenRecord{info: TokenInfo{ID: id, Name: "t", Role: PolicyAdmin}, hash: [32]byte{1}}
		if rapid.Bool().Draw(t, "expires") {
			c.token.info.Expires = c.time.Add(30 * time.Second)
		}
	case RevokeToken:
		c.token.info.ID = id
	default:
		c.name = fmt.Sprint("policy", small("name"))
		if rapid.Bool().Draw(t, "of a tenant") {
			c.name = "acme/" + c.name
		}
		c.hasExpect, c.expect = small("expects") == 0, small("expect")
		c.requestID = strings.Repeat("r", int(small("request")))
		if c.action == PutPolicy {
			c.text = bytes.Repeat([]byte{'a' + byte(small("letter"))}, 1+int(small("size"))*10)
		}
		c.to = small("to")
		c.since = small("since")
	}
	return c
}

func logEntries(commands []*command) (entries []*raft.Log) {
	for i, c := range commands {
		entries = append(entries, &raft.Log{Index: uint64(2 * (i + 1)), Type: raft.LogCommand, Data: c.encode()})
	}
	return entries
}

// TestDeterminism applies the same entries on several nodes: one by one; in batches; with
// entries that are applied already; and onto a snapshot of another node.
func TestDeterminism(t *testing.T) {
	refused, made := 0, 0
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	rapid.Check(t, func(rt *rapid.T) {
		var nodes [3]*fsm
		for i := range nodes {
			f, done := openFSM(t, dirs[i], smallLimits)
			defer done()
			f.db.NoSync = true
			nodes[i] = f
		}
		one, batches, late := nodes[0], nodes[1], nodes[2]
		entries := logEntries(rapid.SliceOfN(rapid.Custom(randomCommand), 20, 60).Draw(rt, "commands"))
		split := rapid.IntRange(0, len(entries)-1).Draw(rt, "split")
		again := rapid.IntRange(0, split).Draw(rt, "again")
		for i, e := range entries {
			o := one.Apply(e).(outcome)
			if o.err == nil {
				made++
			} else {
				refused++
			}
			if i == split-1 || split == 0 && i == 0 {
				transfer(rt, one, late)
			}
		}
		batches.ApplyBatch(entries[:split+1])
		batches.ApplyBatch(entries[again:])
		late.ApplyBatch(entries)
		want := one.digest(t)
		if got := batches.digest(t); got != want {
			rt.Errorf("in batches: %x, want %x", got, want)
		}
		if got := late.digest(t); got != want {
			rt.Errorf("from a snapshot: %x, want %x", got, want)
		}
		err := one.view(func(tx *transaction) error {
			_, err := tx.verifyAudit(t.Context())
			return errors.Join(err, checkUsage(tx))
		})
		if err != nil {
			rt.Error(err)
		}
	})
	if made < 50 || refused < 50 {
		t.Errorf("%d made and %d refused: too few to say anything", made, refused)
	}
}

// memorySink is a snapshot in memory.
type memorySink struct{ bytes.Buffer }

func (*memorySink) ID() string    { return "memory" }
func (*memorySink) Cancel() error { return nil }
func (*memorySink) Close() error  { return nil }

type fataler interface {
	Helper()
	Fatal(...any)
}

func persist(t fataler, f *fsm) *memorySink {
	t.Helper()
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	var sink memorySink
	if err := snap.Persist(&sink); err != nil {
		t.Fatal(err)
	}
	return &sink
}

func transfer(t fataler, from, to *fsm) {
	t.Helper()
	if err := to.Restore(io.NopCloser(persist(t, from))); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreRefuses damages a snapshot in all ways; the state stays as it was.
func TestRestoreRefuses(t *testing.T) {
	from, to := newFSM(t, standardLimits), newFSM(t, standardLimits)
	c := &command{action: PutPolicy, principal: editor, name: "etl", text: []byte("x")}
	from.Apply(logEntries([]*command{c})[0])
	whole := persist(t, from).Bytes()
	before := to.digest(t)
	for name, damaged := range map[string][]byte{
		"empty":    nil,
		"header":   append([]byte("something else"), whole...),
		"cut":      whole[:len(whole)/2],
		"checksum": whole[:len(whole)-1],
		"flipped":  append(append([]byte{}, whole[:5000]...), append([]byte{whole[5000] ^ 1}, whole[5001:]...)...),
		"size":     append([]byte(snapshotHeader), 255, 255, 255, 255, 255, 255, 255, 255),
	} {
		if err := to.Restore(io.NopCloser(bytes.NewReader(damaged))); !errors.Is(err, errSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
		if to.digest(t) != before {
			t.Errorf("%s: the state has changed", name)
		}
	}
	if err := to.Restore(io.NopCloser(bytes.NewReader(whole))); err != nil || to.digest(t) != from.digest(t) {
		t.Error(err)
	}
}

// TestFailStop: an entry that this version does not understand ends applying for good.
func TestFailStop(t *testing.T) {
	f := newFSM(t, standardLimits)
	good := (&command{action: PutPolicy, principal: editor, name: "etl", text: []byte("x")}).encode()
	before := f.digest(t)
	outcomes := f.ApplyBatch([]*raft.Log{{Index: 1, Data: good}, {Index: 2, Data: []byte{99}}})
	for i, o := range outcomes {
		if err := o.(outcome).err; !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "format 99") {
			t.Errorf("outcome %d: %v", i, err)
		}
	}
	if err := f.Apply(&raft.Log{Index: 1, Data: good}).(outcome).err; !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if _, err := f.Snapshot(); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if f.digest(t) != before {
		t.Error("the state has changed")
	}
}

// TestLimits reaches each bound.
func TestLimits(t *testing.T) {
	s := openLimited(t, Config{}, limits{policies: 2, versions: 5, textBytes: 10, tokens: 2, perPolicy: 4, changes: 9, requests: 1, logBytes: 1 << 20})
	put := func(name, text, id string) error {
		_, err := s.Put(t.Context(), editor, PutRequest{Name: name, Text: []byte(text), RequestID: id})
		return err
	}
	for i, c := range []struct {
		err  error
		says string
	}{
		{put("a", "12345", "1"), ""},
		{put("b", "12345", ""), ""},
		{put("c", "12345", ""), "more than 2 policies"},
		{put("b", "123456", ""), "more than 10 bytes of texts"},
		{put("b", "67890", "2"), ""},
		{put("b", "67890", "2"), ""},
		{put("a", "12345", "1"), ""}, // forgotten, so it is a new version
		{put("a", "12345", ""), ""},
		{put("a", "12345", ""), ""}, // the oldest of five is dropped
	} {
		if c.says == "" && c.err != nil || c.says != "" && (!errors.Is(c.err, ErrLimited) || !strings.Contains(c.err.Error(), c.says)) {
			t.Errorf("put %d: %v, want %q", i, c.err, c.says)
		}
	}
	if _, err := s.Get(t.Context(), "a", 1, Linearizable); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no longer kept; those from 2 on are") {
		t.Errorf("the oldest version: %v", err)
	}
	if _, err := s.Delete(t.Context(), editor, DeleteRequest{Name: "a"}); err != nil {
		t.Errorf("deleting is the way out: %v", err)
	}
	if err := put("c", "12345", ""); err != nil {
		t.Errorf("a deleted policy does not make room: %v", err)
	}
	if _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	_, first := mustCreate(t, s, TokenRequest{Name: "1", Role: Viewer})
	mustCreate(t, s, TokenRequest{Name: "2", Role: Viewer})
	if _, _, err := s.CreateToken(t.Context(), root, TokenRequest{Name: "3", Role: Viewer}); !errors.Is(err, ErrLimited) {
		t.Error(err)
	}
	if _, err := s.RevokeToken(t.Context(), root, first.ID); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, TokenRequest{Name: "3", Role: Viewer})
	if infos, err := s.ListTokens(t.Context(), root); err != nil || len(infos) != 2 {
		t.Errorf("a revoked token does not make room: %v, %v", infos, err)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	f.Add((&command{action: PutPolicy, principal: acme, requestID: "1", name: "acme/etl", text: []byte("text"), hasExpect: true, comment: "c"}).encode())
	f.Add((&command{action: CreateToken, principal: root, token: tokenRecord{info: TokenInfo{ID: token.New().ID(), Name: "n", Role: Admin}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCommand(b); err == nil && !bytes.Equal(c.encode(), b) {
			t.Errorf("%x is read as %+v", b, c)
		}
	})
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add(encodeVersion(Version{Number: 1, Author: "a", Comment: "c", Time: time.Unix(1, 2)}))
	f.Add((&AuditRecord{Seq: 1, Principal: "a", Action: PutPolicy, Name: "n"}).encode())
	f.Add(policyRecord{newest: 1, index: 3, first: 1}.encode())
	f.Add(usage{counts{1, 2, 3, 4}, 5}.encode())
	f.Add(textUse{1, 2}.encode())
	f.Add(reference{name: "n", number: 1, index: 2}.encode())
	f.Add(tokenRecord{info: TokenInfo{ID: "0123456789abcdef", Name: "n", Role: Viewer}}.encode())
	f.Add((&head{applied: 7}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(what string, again []byte, err error) {
			if err == nil && !bytes.Equal(again, b) {
				t.Errorf("%s: %x becomes %x", what, b, again)
			}
		}
		v, err := decodeVersion("n", b)
		same("version", encodeVersion(v), err)
		a, err := decodeAudit(b)
		same("audit record", a.encode(), err)
		p, err := decodePolicy(b)
		same("policy", p.encode(), err)
		r, err := decodeReference(b)
		same("reference", r.encode(), err)
		u, err := decodeUsage(b)
		same("usage", u.encode(), err)
		x, err := decodeTextUse(b)
		same("use of a text", x.encode(), err)
		k, err := decodeToken(b)
		same("token", k.encode(), err)
		h, err := decodeHead(b)
		same("head", h.encode(), err)
	})
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add(append([]byte(snapshotHeader), 0, 0, 0, 0, 0, 0, 0, 0))
	f.Add([]byte(snapshotHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		if err := readSnapshot(bytes.NewReader(b), &out); err != nil && !errors.Is(err, errSnapshot) {
			t.Error(err)
		}
	})
}
