package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func newArchive(t *testing.T, b Bounds) (a *Archive, dir string) {
	t.Helper()
	dir = t.TempDir()
	a, err := OpenArchive(dir, newRing(t), b)
	must(t, err)
	return a, dir
}

// kept is a checkpoint of a cell that was made so long ago.
func kept(t *testing.T, a *Archive, tenant, cell string, ago time.Duration, state []byte) (Info, error) {
	t.Helper()
	h := header()
	h.Tenant, h.Cell, h.Created = tenant, cell, time.Now().Add(-ago)
	s, err := a.Seal(h, []byte("terms"), nil)
	if err != nil {
		return Info{}, err
	}
	if _, err := s.Write(state); err != nil {
		return Info{}, errors.Join(err, s.Discard())
	}
	return s.Keep()
}

func mustKeep(t *testing.T, a *Archive, tenant, cell string, ago time.Duration) Info {
	t.Helper()
	i, err := kept(t, a, tenant, cell, ago, state(1000))
	must(t, err)
	return i
}

func TestArchiveGivesBackWhatItKeeps(t *testing.T) {
	a, dir := newArchive(t, Bounds{})
	for _, n := range []int{0, 1, aheadBytes - 1, aheadBytes, aheadBytes + 1, 3*aheadBytes + 7} {
		want := state(n)
		i, err := kept(t, a, "shop", "worker", 0, want)
		must(t, err)
		o, err := a.Open(i.ID, Expect{Tenant: "shop", Cell: "worker", Epoch: 7})
		must(t, err)
		got, err := io.ReadAll(o)
		must(t, err)
		must(t, o.Close())
		if !bytes.Equal(got, want) || string(o.Terms) != "terms" {
			t.Errorf("of %d bytes come %d, and %q", n, len(got), o.Terms)
		}
	}
	again, err := OpenArchive(dir, a.Ring(), Bounds{})
	must(t, err)
	if len(again.List("", "")) != 6 || again.of["shop"] != a.of["shop"] {
		t.Errorf("opened again it has %v, not %v", again.of, a.of)
	}
}

// withMaxState has states be small.
func withMaxState(t *testing.T, most int64) {
	t.Helper()
	before := maxState
	maxState = most
	t.Cleanup(func() { maxState = before })
}

// What is kept can be opened: a state that is larger is refused, and nothing is left of it.
func TestArchiveKeepsWhatOpens(t *testing.T) {
	const most = 1 << 20
	withMaxState(t, most)
	identity, err := NewIdentity()
	must(t, err)
	for name, compression := range map[string]string{"zstd": Zstd, "S2": S2, "as it is": None} {
		t.Run(name, func(t *testing.T) {
			a, _ := newArchive(t, Bounds{})
			seal := func(n int) (*Sealing, error) {
				h := header()
				h.Compression = compression
				s, err := a.Seal(h, []byte("terms"), nil)
				must(t, err)
				_, err = s.Write(make([]byte, n))
				return s, err
			}
			s, err := seal(most + 1)
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("written: %v", err)
			}
			if _, err := s.Keep(); !errors.Is(err, ErrTooLarge) { // though its writer goes on
				t.Errorf("kept: %v", err)
			}
			nothingLeft(t, a)
			s, err = seal(most)
			must(t, err)
			i, err := s.Keep()
			must(t, err)
			o, err := a.Open(i.ID, Expect{})
			must(t, err)
			n, err := io.Copy(io.Discard, struct{ io.Reader }{o})
			if n != most || err != nil || string(o.Terms) != "terms" {
				t.Errorf("%d bytes and %q come out, %v", n, o.Terms, err)
			}
			must(t, o.Close())
			var file bytes.Buffer
			must(t, a.Export(i.ID, identity.Recipient(), &file))
			there, _ := newArchive(t, Bounds{})
			_, err = there.Import(&file, identity, func(Header) error { return nil })
			must(t, err)
		})
	}
}

// damage changes the last byte of a file.
func damage(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	b[len(b)-1] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
}

// The last byte of a state is not given before the file is known to be whole.
func TestArchiveHoldsTheEndBack(t *testing.T) {
	a, dir := newArchive(t, Bounds{})
	i, err := kept(t, a, "shop", "worker", 0, state(2*aheadBytes))
	must(t, err)
	damage(t, filepath.Join(dir, i.ID+suffix))
	o, err := a.Open(i.ID, Expect{})
	if err == nil {
		got, readErr := io.ReadAll(o)
		if len(got) == 2*aheadBytes {
			t.Error("all of it was given")
		}
		err = errors.Join(readErr, o.Close())
	}
	if !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func TestArchiveBounds(t *testing.T) {
	a, _ := newArchive(t, Bounds{TenantCount: 2, TenantBytes: 4000})
	first := mustKeep(t, a, "shop", "a", 0)
	mustKeep(t, a, "shop", "b", 0)
	if _, err := kept(t, a, "shop", "c", 0, nil); !errors.Is(err, ErrFull) {
		t.Errorf("a third: %v", err)
	}
	mustKeep(t, a, "acme", "a", 0) // another tenant
	must(t, a.Remove(first.ID))
	if _, err := kept(t, a, "shop", "c", 0, incompressible(5000)); !errors.Is(err, ErrFull) {
		t.Errorf("too many bytes: %v", err)
	}
	if s := a.of["shop"]; s.count != 1 || s.bytes != a.List("shop", "")[0].Size {
		t.Errorf("after the refusals the tenant has %+v", s)
	}
	if err := a.Remove(first.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func incompressible(n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		out = append(out, newSalt()...)
	}
	return out
}

func TestArchiveRetention(t *testing.T) {
	a, dir := newArchive(t, Bounds{Keep: 2, Age: time.Hour})
	mustKeep(t, a, "shop", "a", 30*time.Minute)
	second := mustKeep(t, a, "shop", "a", 20*time.Minute)
	third := mustKeep(t, a, "shop", "a", 10*time.Minute)
	other := mustKeep(t, a, "shop", "b", 50*time.Minute)
	if got := a.List("shop", "a"); len(got) != 2 || got[0].ID != third.ID || got[1].ID != second.ID {
		t.Errorf("kept are %v", got)
	}
	mustKeep(t, a, "shop", "c", 2*time.Hour) // too old as it comes: it goes with the next
	must(t, a.Prune())
	if got := a.List("", ""); len(got) != 3 {
		t.Errorf("kept are %v", got)
	}
	again, err := OpenArchive(dir, a.Ring(), Bounds{Age: 15 * time.Minute})
	must(t, err)
	again.Pin(func(i Info) bool { return i.ID == second.ID })
	must(t, again.Prune())
	if got := again.List("", ""); len(got) != 2 || got[1].ID != second.ID {
		t.Errorf("who opens it has said since that %s is needed: %v", second.ID, got)
	}
	again.Pin(nil)
	must(t, again.Prune())
	if got := again.List("", ""); len(got) != 1 || got[0].ID != third.ID {
		t.Errorf("%s is too old: %v", other.ID, got)
	}
}

// A clock that goes behind the one of the node that a cell came from costs no checkpoint that was just made.
func TestRetentionGoesByOrderNotByClocks(t *testing.T) {
	a, _ := newArchive(t, Bounds{Keep: 2})
	for range 2 { // an hour ahead
		mustKeep(t, a, "shop", "a", -time.Hour)
	}
	before := mustKeep(t, a, "shop", "a", 0)
	newest := mustKeep(t, a, "shop", "a", time.Minute)
	if got := a.List("shop", "a"); len(got) != 2 || got[0].ID != newest.ID || got[1].ID != before.ID {
		t.Errorf("kept are %v", got)
	}
}

// What comes from elsewhere is there when that is said, however old it is: whoever sent it may have it held then.
func TestWhatIsKeptIsThere(t *testing.T) {
	a, _ := newArchive(t, Bounds{Keep: 1, Age: time.Hour})
	old := mustKeep(t, a, "shop", "a", 2*time.Hour)
	var file bytes.Buffer
	must(t, a.Export(old.ID, nil, &file))
	must(t, a.Remove(old.ID))
	newest := mustKeep(t, a, "shop", "a", 0)
	_, err := a.Import(&file, nil, func(Header) error { return nil })
	must(t, err)
	if _, err := a.Get(old.ID); err != nil {
		t.Errorf("it was kept, and is not: %v", err)
	}
	must(t, a.Prune())
	if got := a.List("shop", "a"); len(got) != 1 || got[0].ID != newest.ID {
		t.Errorf("kept are %v", got)
	}
}

// Room is what there is when the old have gone.
func TestArchiveRoom(t *testing.T) {
	a, dir := newArchive(t, Bounds{Age: 2 * time.Hour})
	mustKeep(t, a, "acme", "worker", time.Hour)
	mustKeep(t, a, "acme", "worker", 0)
	a.now = func() time.Time { return time.Now().Add(90 * time.Minute) }
	free, known, err := a.Room("acme")
	must(t, err)
	if n := len(a.List("acme", "")); !known || free <= 0 || n != 1 {
		t.Errorf("%d bytes are free, known: %t, with %d checkpoints", free, known, n)
	}
	must(t, os.RemoveAll(dir))
	if free, known, err := a.Room("nobody"); err == nil || known {
		t.Errorf("without a directory %d bytes are free", free)
	}
}

func TestArchiveImport(t *testing.T) {
	here, _ := newArchive(t, Bounds{})
	i := mustKeep(t, here, "shop", "a", 0)
	identity, err := NewIdentity()
	must(t, err)
	var plain, sealed bytes.Buffer
	must(t, here.Export(i.ID, nil, &plain))
	must(t, here.Export(i.ID, identity.Recipient(), &sealed))
	all := func(Header) error { return nil }
	refused := errors.New("refused")

	there, _ := newArchive(t, Bounds{})
	for name, c := range map[string]struct {
		into *Archive
		file []byte
		key  *Identity
		may  func(Header) error
		want error
	}{
		"the same keys":          {here, plain.Bytes(), nil, all, nil},
		"other keys":             {there, plain.Bytes(), nil, all, ErrKey},
		"sealed to an identity":  {there, sealed.Bytes(), identity, all, nil},
		"without the identity":   {there, sealed.Bytes(), nil, all, ErrKey},
		"truncated":              {here, plain.Bytes()[:plain.Len()-1], nil, all, ErrDamaged},
		"sealed, and truncated":  {there, sealed.Bytes()[:sealed.Len()-1], identity, all, ErrDamaged},
		"who may not":            {here, plain.Bytes(), nil, func(Header) error { return refused }, refused},
		"no checkpoint at all":   {here, []byte("hello"), nil, all, ErrFormat},
		"nothing":                {here, nil, nil, all, ErrFormat},
		"something behind it":    {here, append(bytes.Clone(plain.Bytes()), 0), nil, all, ErrDamaged},
		"another tenant's words": {here, bytes.Replace(plain.Bytes(), []byte(`"shop"`), []byte(`"acme"`), 1), nil, all, ErrKey},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.into.of["shop"]
			got, err := c.into.Import(bytes.NewReader(c.file), c.key, c.may)
			if !errors.Is(err, c.want) {
				t.Fatal(err)
			}
			if err != nil {
				if c.into.of["shop"] != before {
					t.Errorf("something is left: %v", c.into.of)
				}
				return
			}
			if got.Header.Cell != "a" || len(c.into.List("", "")) != 1 {
				t.Errorf("it has %v", c.into.List("", ""))
			}
		})
	}
}

// What others have sealed says when it was made as they like: what comes later of its cell comes after it all the same.
func TestArchiveImportOfTheFuture(t *testing.T) {
	a, _ := newArchive(t, Bounds{Age: time.Hour})
	own, err := NewIdentity()
	must(t, err)
	h := header()
	h.Created = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	var out bytes.Buffer
	w, err := NewWriter(&out, h, own.Recipient())
	must(t, err)
	must(t, w.Close())
	i, err := a.Import(&out, own, func(Header) error { return nil })
	must(t, err)
	if i.Header.Created.After(time.Now()) {
		t.Errorf("it is of %s", i.Header.Created)
	}
	if _, err := kept(t, a, "shop", "worker", 0, state(10)); err != nil {
		t.Error(err)
	}
}

// What a damaged file is exported as has no end: whoever has what was written has no checkpoint.
func TestArchiveExportOfWhatIsDamaged(t *testing.T) {
	a, dir := newArchive(t, Bounds{})
	i, err := kept(t, a, "shop", "worker", 0, incompressible(3*defaultChunk))
	must(t, err)
	damage(t, filepath.Join(dir, i.ID+suffix))
	own, err := NewIdentity()
	must(t, err)
	var out bytes.Buffer
	if err := a.Export(i.ID, own.Recipient(), &out); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	r, err := NewReader(&out, own, Expect{})
	must(t, err)
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, ErrTruncated) {
		t.Errorf("%d bytes of %d are a whole checkpoint: %v", n, i.Size, err)
	}
}

// Who has a good copy of what is damaged takes it in, and then it is good. What is counted is what is there.
func TestArchiveImportRepairs(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(b []byte) []byte
		listed bool // after a start
	}{
		"the body":        {func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, true},
		"cut short":       {func(b []byte) []byte { return b[:len(b)-100] }, true},
		"longer":          {func(b []byte) []byte { return append(b, b...) }, true},
		"the header":      {func(b []byte) []byte { b[0] ^= 1; return b }, false},
		"whose it may be": {func(b []byte) []byte { return bytes.Replace(b, []byte(`"shop"`), []byte(`"shup"`), 1) }, true},
	} {
		for _, anew := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, started anew %t", name, anew), func(t *testing.T) {
				a, dir := newArchive(t, Bounds{})
				i := mustKeep(t, a, "shop", "worker", 0)
				good, err := os.ReadFile(a.store.path(i.ID))
				must(t, err)
				must(t, os.WriteFile(a.store.path(i.ID), c.damage(bytes.Clone(good)), 0o600))
				if anew {
					a, err = OpenArchive(dir, a.Ring(), Bounds{})
					must(t, err)
					if _, err := a.Get(i.ID); (err == nil) != c.listed {
						t.Fatalf("damaged: %v", err)
					}
				}
				got, err := a.Import(bytes.NewReader(good), nil, func(Header) error { return nil })
				if err != nil || got.ID != i.ID {
					t.Fatalf("%+v, %v", got, err)
				}
				must(t, a.store.Verify(i.ID))
				if len(a.of) != 1 || a.of["shop"] != (share{i.Size, 1}) || a.store.used != i.Size {
					t.Errorf("counted are %v and %d bytes, of %d", a.of, a.store.used, i.Size)
				}
				must(t, a.Remove(i.ID))
				nothingLeft(t, a)
			})
		}
	}
}

// What a cell waits for: a state of 100 MiB is sealed until it is on the disk, and opened to its end.
func BenchmarkArchive(b *testing.B) {
	a, err := OpenArchive(b.TempDir(), newRing(b), Bounds{})
	must(b, err)
	content := state(100 << 20)
	for _, compression := range []string{Zstd, S2} {
		h := header()
		h.Compression = compression
		var i Info
		b.Run("seal."+compression, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				s, err := a.Seal(h, nil, nil)
				must(b, err)
				for at := 0; at < len(content); at += 256 << 10 { // as a guest gives it
					_, err = s.Write(content[at : at+256<<10])
					must(b, err)
				}
				i, err = s.Keep()
				must(b, err)
			}
		})
		b.Run("open."+compression, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				o, err := a.Open(i.ID, Expect{})
				must(b, err)
				_, err = io.Copy(io.Discard, struct{ io.Reader }{o})
				must(b, errors.Join(err, o.Close()))
			}
		})
	}
}
