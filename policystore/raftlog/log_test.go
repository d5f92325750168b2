package raftlog

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openLog(t testing.TB, path string) *Log {
	t.Helper()
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// entries from first to last.
func entries(first, last uint64) (logs []*raft.Log) {
	for i := first; i <= last; i++ {
		logs = append(logs, &raft.Log{
			Index: i, Term: 1 + i/10, Type: raft.LogType(i % 2), Data: clone(bytes.Repeat([]byte{byte(i)}, int(i%7)*100)),
			AppendedAt: time.Unix(1_700_000_000, int64(i)).UTC(),
		})
	}
	return logs
}

func TestEntry(t *testing.T) {
	for name, want := range map[string]raft.Log{
		"zero":    {},
		"command": {Index: 7, Term: 3, Type: raft.LogCommand, Data: []byte("data"), AppendedAt: time.Unix(5, 6).UTC()},
		"all":     {Index: 1 << 63, Term: 1 << 62, Type: raft.LogConfiguration, Data: []byte{0}, Extensions: []byte("ext")},
	} {
		var got raft.Log
		if err := decode(encode(&want), &got); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v, %s", name, err, cmp.Diff(want, got))
		}
	}
	if err := decode([]byte{9}, &raft.Log{}); err == nil || !strings.Contains(err.Error(), "does not know: 9") {
		t.Errorf("another format: %v", err)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	l := openLog(t, path)
	if !l.IsMonotonic() {
		t.Error("not monotonic")
	}
	steps := []struct {
		name        string
		do          func() error
		fails       string
		first, last uint64
	}{
		{name: "nothing stored", do: func() error { return l.StoreLogs(nil) }},
		{name: "nothing to delete", do: func() error { return l.DeleteRange(1, 100) }},
		{name: "index 0", do: func() error { return l.StoreLogs(entries(0, 0)) }, fails: "entry 0 cannot follow"},
		{name: "begins anywhere", do: func() error { return l.StoreLogs(entries(5, 20)) }, first: 5, last: 20},
		{name: "one", do: func() error { return l.StoreLog(entries(21, 21)[0]) }, first: 5, last: 21},
		{name: "gap", do: func() error { return l.StoreLogs(entries(23, 24)) }, fails: "entry 23 cannot follow entry 21", first: 5, last: 21},
		{name: "gap inside", do: func() error { return l.StoreLogs(append(entries(22, 23), entries(25, 25)...)) }, fails: "entry 25 cannot follow entry 23", first: 5, last: 21},
		{name: "again", do: func() error { return l.StoreLogs(entries(21, 21)) }, fails: "entry 21 cannot follow entry 21", first: 5, last: 21},
		{name: "beginning", do: func() error { return l.DeleteRange(0, 9) }, first: 10, last: 21},
		{name: "end", do: func() error { return l.DeleteRange(20, 99) }, first: 10, last: 19},
		{name: "middle", do: func() error { return l.DeleteRange(12, 13) }, fails: "within the log", first: 10, last: 19},
		{name: "elsewhere", do: func() error { return l.DeleteRange(30, 40) }, first: 10, last: 19},
		{name: "follows again", do: func() error { return l.StoreLogs(entries(20, 40)) }, first: 10, last: 40},
		{name: "all", do: func() error { return l.DeleteRange(1, 99) }},
		{name: "begins anew", do: func() error { return l.StoreLogs(entries(100, 101)) }, first: 100, last: 101},
	}
	for _, s := range steps {
		err := s.do()
		if (err == nil) != (s.fails == "") || err != nil && !strings.Contains(err.Error(), s.fails) {
			t.Errorf("%s: error %v, want %q", s.name, err, s.fails)
		}
		for range 2 { // as it is, and as it is after a restart
			first, _ := l.FirstIndex()
			last, _ := l.LastIndex()
			if first != s.first || last != s.last {
				t.Errorf("%s: entries %d to %d, want %d to %d", s.name, first, last, s.first, s.last)
			}
			checkEntries(t, s.name, l, first, last)
			closeLog(t, l)
			l = openLog(t, path)
		}
	}
	closeLog(t, l)
}

func checkEntries(t *testing.T, name string, l *Log, first, last uint64) {
	t.Helper()
	var got raft.Log
	for i := first; i <= last && i > 0; i++ {
		if err := l.GetLog(i, &got); err != nil || !cmp.Equal(&got, entries(i, i)[0]) {
			t.Errorf("%s: entry %d: %v, %s", name, i, err, cmp.Diff(entries(i, i)[0], &got))
		}
	}
	for _, i := range []uint64{first - 1, last + 1} {
		if err := l.GetLog(i, &got); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("%s: entry %d: %v, want %v", name, i, err, raft.ErrLogNotFound)
		}
	}
}

func TestStable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	l := openLog(t, path)
	if _, err := l.Get([]byte("none")); err == nil || err.Error() != "not found" {
		t.Errorf("Raft compares the text %q", err)
	}
	if _, err := l.GetUint64([]byte("none")); err == nil || err.Error() != "not found" {
		t.Errorf("Raft compares the text %q", err)
	}
	if err := errors.Join(l.Set([]byte("k"), []byte("v")), l.SetUint64([]byte("n"), 1<<63), l.Set([]byte("empty"), nil)); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l = openLog(t, path)
	defer closeLog(t, l)
	if v, err := l.Get([]byte("k")); err != nil || string(v) != "v" {
		t.Errorf("%q, %v", v, err)
	}
	if n, err := l.GetUint64([]byte("n")); err != nil || n != 1<<63 {
		t.Error(n, err)
	}
	if v, err := l.Get([]byte("empty")); err != nil || len(v) != 0 {
		t.Error(v, err)
	}
	if _, err := l.GetUint64([]byte("k")); err == nil || !strings.Contains(err.Error(), "not a number") {
		t.Error(err)
	}
}

// TestRaftAcceptsIt asks Raft itself whether a new log is new and a used one is used.
func TestRaftAcceptsIt(t *testing.T) {
	l := openLog(t, filepath.Join(t.TempDir(), "raft.db"))
	defer closeLog(t, l)
	snaps := raft.NewInmemSnapshotStore()
	if has, err := raft.HasExistingState(l, l, snaps); err != nil || has {
		t.Fatal(has, err)
	}
	c := raft.DefaultConfig()
	c.LocalID = "n"
	address, transport := raft.NewInmemTransport("")
	if err := raft.BootstrapCluster(c, l, l, snaps, transport, raft.Configuration{Servers: []raft.Server{{ID: "n", Address: address}}}); err != nil {
		t.Fatal(err)
	}
	if has, err := raft.HasExistingState(l, l, snaps); err != nil || !has {
		t.Fatal(has, err)
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	l := openLog(t, path)
	defer closeLog(t, l)
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("%v, want %v", err, ErrLocked)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range entries(1, 8) {
		f.Add(encode(e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var l raft.Log
		if decode(b, &l) == nil && !bytes.Equal(encode(&l), b) {
			t.Errorf("%x decodes to what encodes as %x", b, encode(&l))
		}
	})
}

func FuzzDecodeSpan(f *testing.F) {
	f.Add(span{1, 300}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeSpan(b); err == nil && !bytes.Equal(s.encode(), b) {
			t.Errorf("%x decodes to %v", b, s)
		}
	})
}

func BenchmarkStoreLogs(b *testing.B) {
	for name, n := range map[string]uint64{"1": 1, "64": 64} {
		b.Run(name, func(b *testing.B) {
			l := openLog(b, filepath.Join(b.TempDir(), "raft.db"))
			defer closeLog(b, l)
			next := uint64(1)
			for b.Loop() {
				batch := entries(next, next+n-1)
				for _, e := range batch {
					e.Data = make([]byte, 256)
				}
				if err := l.StoreLogs(batch); err != nil {
					b.Fatal(err)
				}
				next += n
			}
		})
	}
}

func BenchmarkGetLog(b *testing.B) {
	l := openLog(b, filepath.Join(b.TempDir(), "raft.db"))
	defer closeLog(b, l)
	if err := l.StoreLogs(entries(1, 1000)); err != nil {
		b.Fatal(err)
	}
	var e raft.Log
	for b.Loop() {
		if err := l.GetLog(500, &e); err != nil {
			b.Fatal(err)
		}
	}
}
