package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring.json")
	for name, secret := range map[string][]byte{"file alone": nil, "with a secret": []byte("0123456789abcdef")} {
		t.Run(name, func(t *testing.T) {
			defer func() { must(t, os.Remove(path)) }()
			r, err := OpenRing(path, secret)
			must(t, err)
			first := sealed(t, header(), r, state(10))
			must(t, r.Rotate())
			must(t, r.RotateTenant("shop"))
			second := sealed(t, header(), r, state(20))
			must(t, r.Rotate())
			again, err := OpenRing(path, secret)
			must(t, err)
			for _, k := range []*Ring{r, again} {
				for i, b := range [][]byte{first, second} {
					if _, err := opened(b, k, Expect{}); err != nil {
						t.Errorf("file %d: %v", i, err)
					}
				}
			}
			a, _ := ReadHeader(bytes.NewReader(first))
			b, _ := ReadHeader(bytes.NewReader(second))
			if a.Key.ID == b.Key.ID {
				t.Error("the tenant's key is the old one")
			}
			must(t, again.Forget("shop"))
			if _, err := opened(first, again, Expect{}); !errors.Is(err, ErrKey) {
				t.Errorf("of a forgotten tenant: %v", err)
			}
			if text, _ := os.ReadFile(path); secret != nil && bytes.Contains(text, secret) {
				t.Error("the secret is in the file")
			}
		})
	}
}

func TestRingOfOthers(t *testing.T) {
	dir := t.TempDir()
	open, locked := filepath.Join(dir, "open"), filepath.Join(dir, "locked")
	_, err := OpenRing(open, nil)
	must(t, err)
	_, err = OpenRing(locked, []byte("0123456789abcdef"))
	must(t, err)
	text, err := os.ReadFile(open)
	must(t, err)
	damaged := func(name, old, replacement string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600))
		return path
	}
	for name, c := range map[string]struct {
		path   string
		secret []byte
	}{
		"a secret that it has not": {open, []byte("0123456789abcdef")},
		"without its secret":       {locked, nil},
		"another secret":           {locked, []byte("0123456789abcdeX")},
		"a short secret":           {filepath.Join(dir, "new"), []byte("short")},
		"a newer version":          {damaged("newer", `": 1`, `": 2`), nil},
		"an unknown field":         {damaged("field", `"master"`, `"color": 1, "master"`), nil},
		"no JSON":                  {damaged("json", "{", ""), nil},
	} {
		if _, err := OpenRing(c.path, c.secret); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st, _ := os.Stat(open); st.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", st.Mode())
	}
}

// Many goroutines make and rotate keys; nothing that was sealed is lost.
func TestRingByMany(t *testing.T) {
	r := newRing(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			h := header()
			h.Tenant = string(rune('a' + i%3))
			b := sealed(t, h, r, state(10))
			if i%4 == 0 {
				must(t, r.Rotate())
			}
			if i%4 == 1 {
				must(t, r.RotateTenant(h.Tenant))
			}
			if _, err := opened(b, r, Expect{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
