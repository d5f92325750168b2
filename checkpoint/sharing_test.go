package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func shared(t testing.TB, r *Ring, tenant, id string) SharedKey {
	t.Helper()
	k, err := r.Share(tenant, id)
	must(t, err)
	return k
}

// What one ring has sealed another opens with the key that was shared, also after both masters were
// rotated and the rings read again; and it seals with its own.
func TestSharedKeysOpen(t *testing.T) {
	dir := t.TempDir()
	path, secret := filepath.Join(dir, "target"), []byte("sixteen bytes or more")
	source := newRing(t)
	target, err := OpenRing(path, secret)
	must(t, err)
	b := sealed(t, header(), source, state(3000))
	if _, err := opened(b, target, Expect{}); !errors.Is(err, ErrKey) {
		t.Errorf("before: %v", err)
	}
	h, err := ReadHeader(bytes.NewReader(b))
	must(t, err)
	k := shared(t, source, "shop", "")
	if k.ID != h.Key.ID {
		t.Errorf("%s is shared, and %s seals", k.ID, h.Key.ID)
	}
	for range 2 { // twice is once
		must(t, target.Adopt(k))
	}
	if n := len(target.held.Tenants); n != 1 {
		t.Errorf("%d keys", n)
	}
	must(t, target.Rotate())
	target, err = OpenRing(path, secret)
	must(t, err)
	if got, err := opened(b, target, Expect{}); err != nil || !bytes.Equal(got, state(3000)) {
		t.Errorf("after: %d bytes, %v", len(got), err)
	}
	own, err := ReadHeader(bytes.NewReader(sealed(t, header(), target, nil)))
	must(t, err)
	if own.Key.ID == k.ID {
		t.Error("the target seals with the source's key")
	}
	if again := shared(t, target, "shop", k.ID); !bytes.Equal(again.Key, k.Key) {
		t.Error("what was adopted is shared as something else")
	}
	must(t, source.Adopt(shared(t, target, "shop", k.ID))) // it comes back to where it was made
	if n := len(source.held.Tenants); n != 1 {
		t.Errorf("the source has %d keys", n)
	}
	must(t, target.Forget("shop"))
	if _, err := opened(b, target, Expect{}); !errors.Is(err, ErrKey) {
		t.Errorf("forgotten: %v", err)
	}
}

func TestSharedKeysRefused(t *testing.T) {
	source, target := newRing(t), newRing(t)
	k := shared(t, source, "shop", "")
	must(t, target.Adopt(k))
	other := shared(t, source, "other", "")
	for name, bad := range map[string]SharedKey{
		"no tenant":           {ID: k.ID, Key: k.Key},
		"a long tenant":       {Tenant: strings.Repeat("x", 65), ID: "t-1", Key: k.Key},
		"no id":               {Tenant: "shop", Key: k.Key},
		"a long id":           {Tenant: "shop", ID: strings.Repeat("x", 65), Key: k.Key},
		"no key":              {Tenant: "shop", ID: "t-1"},
		"half a key":          {Tenant: "shop", ID: "t-1", Key: k.Key[:16]},
		"another by its id":   {Tenant: "shop", ID: k.ID, Key: other.Key},
		"of another tenant's": {Tenant: "other", ID: k.ID, Key: k.Key},
	} {
		if err := target.Adopt(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := source.Share("other", k.ID); !errors.Is(err, ErrKey) {
		t.Errorf("another tenant's key is shared: %v", err)
	}
	b := sealed(t, header(), source, state(10))
	if _, err := opened(bytes.Replace(b, []byte(`"shop"`), []byte(`"shup"`), 1), target, Expect{}); !errors.Is(err, ErrKey) {
		t.Errorf("another tenant in the header: %v", err)
	}
}

func TestSharedKeyIsNotPrinted(t *testing.T) {
	k := SharedKey{Tenant: "shop", ID: "t-1", Key: bytes.Repeat([]byte("K"), keySize)}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("adopted", "key", k)
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %s %x %q", k, k, k, k, k), fmt.Sprint(&k), log.String()} {
		if strings.Contains(text, "KK") || strings.Contains(text, "4b4b") || strings.Contains(text, "75 75") || !strings.Contains(text, "t-1") {
			t.Errorf("it is printed: %s", text)
		}
	}
}

// Of one tenant there are no more than the bound, and no tenant has others' places; the ones that no file
// needs go after a while.
func TestAdoptedKeysAreBounded(t *testing.T) {
	r := newRing(t)
	key := make([]byte, keySize)
	for i := range maxAdopted {
		must(t, r.Adopt(SharedKey{"shop", fmt.Sprint("t-", i), key}))
	}
	if err := r.Adopt(SharedKey{"shop", "t-more", key}); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
	must(t, r.Adopt(SharedKey{"shop", "t-0", key}))
	must(t, r.Adopt(SharedKey{"other", "t-other", key}))
	must(t, r.RotateTenant("shop"))
	needs := func(id string) bool { return id == "t-7" }
	must(t, r.shed(needs, time.Now()))
	if n := len(r.held.Tenants); n != maxAdopted+2 {
		t.Errorf("%d keys are left at once", n)
	}
	must(t, r.shed(needs, time.Now().Add(adoptedAge+time.Minute)))
	if n := len(r.held.Tenants); n != 2 {
		t.Errorf("%d keys are left", n)
	}
	if _, err := r.Share("shop", "t-7"); err != nil {
		t.Error(err)
	}
}

// Whoever can write a ring's file, but has not its secret, cannot have an adopted key seal.
func TestAdoptedKeysStayAdopted(t *testing.T) {
	path, secret := filepath.Join(t.TempDir(), "ring"), []byte("sixteen bytes or more")
	r, err := OpenRing(path, secret)
	must(t, err)
	must(t, r.Adopt(shared(t, newRing(t), "shop", "")))
	text, err := os.ReadFile(path)
	must(t, err)
	changed := bytes.Replace(text, []byte(`"adopted": true`), []byte(`"adopted": false`), 1)
	if bytes.Equal(changed, text) {
		t.Fatal("the ring does not say what is adopted")
	}
	must(t, os.WriteFile(path, changed, 0o600))
	r, err = OpenRing(path, secret)
	must(t, err)
	if _, err := NewWriter(&bytes.Buffer{}, header(), r); !errors.Is(err, ErrDamaged) {
		t.Errorf("it seals: %v", err)
	}
}

// The key that came with a copy stays as long as the copy, and goes after it.
func TestAdoptedKeysGoWithTheirFiles(t *testing.T) {
	source, target := pair(t, Bounds{})
	i, err := send(incoming(t, target, "m"), file(t, source, 3000), 1000)
	must(t, err)
	later := time.Now().Add(2 * adoptedAge)
	target.now = func() time.Time { return later }
	must(t, target.Prune())
	o, err := target.Open(i.ID, Expect{})
	must(t, err)
	must(t, o.Close())
	must(t, target.Remove(i.ID))
	must(t, target.Prune())
	if _, err := target.ring.Share("shop", i.Header.Key.ID); !errors.Is(err, ErrKey) {
		t.Errorf("the key is still there: %v", err)
	}
}

// A file may take longer to come than a key is kept that nothing needs.
func TestAdoptedKeysStayForWhatComes(t *testing.T) {
	for name, comes := range map[string]func(target *Archive, b []byte, half func()) (Info, error){
		"from a node": func(target *Archive, b []byte, half func()) (Info, error) {
			r := incoming(t, target, "m")
			must(t, r.Append(0, b[:len(b)/2]))
			half()
			return send(r, b, len(b))
		},
		"imported": func(target *Archive, b []byte, half func()) (Info, error) {
			rest := func([]byte) (int, error) { half(); return 0, io.EOF }
			from := io.MultiReader(bytes.NewReader(b[:len(b)/2]), readFunc(rest), bytes.NewReader(b[len(b)/2:]))
			return target.Import(from, nil, func(Header) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := pair(t, Bounds{})
			i, err := comes(target, file(t, source, 3*minChunk), func() {
				later := time.Now().Add(2 * adoptedAge)
				target.now = func() time.Time { return later }
				for _, r := range target.arrivals {
					r.last.Store(later.UnixNano()) // it goes on all the time
				}
				must(t, target.Prune())
			})
			must(t, err)
			o, err := target.Open(i.ID, Expect{})
			must(t, err)
			must(t, o.Close())
			must(t, target.Remove(i.ID))
			must(t, target.Prune())
			if _, err := target.ring.Share("shop", i.Header.Key.ID); !errors.Is(err, ErrKey) || len(target.coming) > 0 {
				t.Errorf("the key is still there: %v, %v", err, target.coming)
			}
		})
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }
