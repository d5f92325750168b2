package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	ring := newRing(t)
	identity, err := NewIdentity()
	must(t, err)
	for _, compression := range []string{Zstd, S2, None} {
		for _, size := range []int{0, 1, minChunk - 1, minChunk, minChunk + 1, 5 * minChunk, 5*minChunk + 77, 300_000} {
			for name, k := range map[string]Keys{"ring": ring, "export": identity} {
				t.Run(fmt.Sprint(compression, size, name), func(t *testing.T) {
					h := header()
					h.Compression, h.Chunk = compression, minChunk
					b := sealed(t, h, k, state(size))
					got, err := opened(b, k, Expect{Tenant: "shop", Cell: "worker", Epoch: 7})
					if err != nil || !bytes.Equal(got, state(size)) {
						t.Fatalf("%d bytes of %d, %v", len(got), size, err)
					}
					if again := sealed(t, h, k, state(size)); bytes.Equal(again, b) {
						t.Error("the same state is sealed to the same bytes")
					}
					head, err := ReadHeader(bytes.NewReader(b))
					if err != nil || head.Tenant != "shop" || head.Version != 3 || !head.Created.Equal(h.Created) {
						t.Errorf("header %+v, %v", head, err)
					}
				})
			}
		}
	}
}

// headerSize is how much stands before the first chunk.
func headerSize(b []byte) int { return 12 + int(binary.BigEndian.Uint32(b[8:12])) }

// What was changed, moved, cut or exchanged gives no byte that was not written, and an error
// that says what is wrong.
func TestTampering(t *testing.T) {
	ring := newRing(t)
	h := header()
	h.Compression, h.Chunk = None, minChunk
	want := state(4*minChunk + 100)
	whole := sealed(t, h, ring, want)
	other := sealed(t, h, ring, state(4*minChunk+99))
	at, chunk := headerSize(whole), minChunk+16
	piece := func(b []byte, i int) []byte { return b[at+i*chunk : min(at+(i+1)*chunk, len(b))] }
	flip := func(i int) []byte {
		b := bytes.Clone(whole)
		b[i] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		b  []byte
		is error
	}{
		"another magic":               {flip(0), ErrFormat},
		"a newer format":              {slices.Concat([]byte("PYISOCK3"), whole[8:]), ErrFormat},
		"a header that is too long":   {slices.Concat([]byte(magic), []byte{1, 0, 0, 0}, whole[12:]), ErrFormat},
		"a header that is not JSON":   {flip(12), ErrFormat},
		"another epoch in it":         {bytes.Replace(whole, []byte(`"epoch":7`), []byte(`"epoch":8`), 1), ErrDamaged},
		"another cell in it":          {bytes.Replace(whole, []byte(`"worker"`), []byte(`"worked"`), 1), ErrDamaged},
		"another tenant in it":        {bytes.Replace(whole, []byte(`"shop"`), []byte(`"shup"`), 1), ErrKey},
		"another policy in it":        {bytes.Replace(whole, []byte(`"version":3`), []byte(`"version":2`), 1), ErrDamaged},
		"a bit of the first chunk":    {flip(at), ErrDamaged},
		"a bit of the third chunk":    {flip(at + 2*chunk + 5), ErrDamaged},
		"a bit of the last chunk":     {flip(len(whole) - 1), ErrDamaged},
		"without its last byte":       {whole[:len(whole)-1], ErrDamaged},
		"without its last chunk":      {whole[:at+4*chunk], ErrTruncated},
		"the first chunk only":        {whole[:at+chunk], ErrTruncated},
		"the header only":             {whole[:at], ErrTruncated},
		"half a header":               {whole[:at/2], ErrFormat},
		"nothing":                     {nil, ErrFormat},
		"something after it":          {append(bytes.Clone(whole), 0), ErrDamaged},
		"a chunk twice":               {slices.Concat(whole[:at+chunk], piece(whole, 0), whole[at+chunk:]), ErrDamaged},
		"two chunks exchanged":        {slices.Concat(whole[:at], piece(whole, 1), piece(whole, 0), whole[at+2*chunk:]), ErrDamaged},
		"a chunk left out":            {slices.Concat(whole[:at+chunk], whole[at+2*chunk:]), ErrDamaged},
		"a chunk of another file":     {slices.Concat(whole[:at+chunk], piece(other, 1), whole[at+2*chunk:]), ErrDamaged},
		"another file's header":       {slices.Concat(other[:at], whole[at:]), ErrDamaged},
		"compression that was not":    {bytes.Replace(whole, []byte(`"none"`), []byte(`"zstd"`), 1), ErrDamaged},
		"a field that is not known":   {withHeader(whole, `"zone":1,`), ErrFormat},
		"a chunk size of 4 GiB":       {withHeader(bytes.Replace(whole, []byte(`"chunk":1024`), []byte(`"chunk":4294967296`), 1), ""), ErrFormat},
		"compression that is to come": {withHeader(bytes.Replace(whole, []byte(`"none"`), []byte(`"lzma"`), 1), ""), ErrFormat},
	} {
		got, err := opened(c.b, ring, Expect{})
		if !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.HasPrefix(want, got) {
			t.Errorf("%s: gives %d bytes that nobody wrote", name, len(got))
		}
	}
}

// withHeader puts something into the header and counts it anew.
func withHeader(b []byte, extra string) []byte {
	text := b[12:]
	end := bytes.Index(text, []byte("}}")) + 2
	head := slices.Concat(text[:1], []byte(extra), text[1:end])
	out := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(head)))
	return slices.Concat(out, head, text[end:])
}

func TestExpect(t *testing.T) {
	ring := newRing(t)
	b := sealed(t, header(), ring, state(100))
	for name, c := range map[string]struct {
		e  Expect
		is error
	}{
		"another tenant": {Expect{Tenant: "other"}, ErrMismatch},
		"another cell":   {Expect{Cell: "other"}, ErrMismatch},
		"another epoch":  {Expect{Epoch: 6}, ErrMismatch},
		"less room":      {Expect{Size: 99}, ErrTooLarge},
		"room enough":    {Expect{Size: 100}, nil},
	} {
		if _, err := opened(b, ring, c.e); !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysOfOthers(t *testing.T) {
	mine, yours := newRing(t), newRing(t)
	me, err := NewIdentity()
	must(t, err)
	you, err := NewIdentity()
	must(t, err)
	b := sealed(t, header(), mine, state(10))
	if _, err := opened(b, yours, Expect{}); !errors.Is(err, ErrKey) {
		t.Errorf("another ring: %v", err)
	}
	if _, err := opened(b, me, Expect{}); !errors.Is(err, ErrKey) {
		t.Errorf("an identity: %v", err)
	}
	export := sealed(t, header(), me.Recipient(), state(10))
	for name, k := range map[string]Keys{"another identity": you, "the recipient": me.Recipient(), "a ring": mine} {
		if _, err := opened(export, k, Expect{}); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, err := me.Text()
	must(t, err)
	back, err := ParseIdentity(text)
	must(t, err)
	if _, err := opened(export, back, Expect{}); err != nil {
		t.Errorf("the identity read again: %v", err)
	}
	to, err := ParseRecipient(me.Recipient().Text())
	must(t, err)
	if _, err := opened(sealed(t, header(), to, state(10)), me, Expect{}); err != nil {
		t.Errorf("the recipient read again: %v", err)
	}
	for _, bad := range []string{"", text[:20], text + "0", strings.Replace(text, "key-1", "key-2", 1), identityPrefix + "zz"} {
		if _, err := ParseIdentity(bad); !errors.Is(err, ErrKey) {
			t.Errorf("identity %.30q: %v", bad, err)
		}
	}
}

// A file of each format that was ever released is read: testdata/v2.ckpt is the first. What is not there is
// written by -golden, once.
var golden = flag.Bool("golden", false, "write files of the format that is now, where there are none")

func TestFormats(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "v2.key"))
	must(t, err)
	i, err := ParseIdentity(string(text))
	must(t, err)
	for name, compression := range map[string]string{"v2.ckpt": Zstd, "v2.s2.ckpt": S2} {
		path := filepath.Join("testdata", name)
		if _, err := os.Stat(path); err != nil && *golden {
			h := header()
			h.Chunk, h.Compression = minChunk, compression
			must(t, os.WriteFile(path, sealed(t, h, i, state(5000)), 0o600))
		}
		b, err := os.ReadFile(path)
		must(t, err)
		if got, err := opened(b, i, Expect{Tenant: "shop", Cell: "worker", Epoch: 7}); err != nil || !bytes.Equal(got, state(5000)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if h, err := ReadHeader(bytes.NewReader(b)); err != nil || h.Compression != compression {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

// A little that unpacks to a lot is refused at the bound, in little memory; and a large state is
// sealed and opened in little memory.
func TestBounds(t *testing.T) {
	size := int64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	ring := newRing(t)
	h := header()
	read, write := io.Pipe()
	go func() {
		w, err := NewWriter(write, h, ring)
		if err == nil {
			_, err = io.Copy(w, io.LimitReader(zeros{}, size))
		}
		if err == nil {
			err = w.Close()
		}
		_ = write.CloseWithError(err)
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := NewReader(read, ring, Expect{Size: size})
	must(t, err)
	n, err := io.Copy(io.Discard, r)
	r.Close()
	runtime.ReadMemStats(&after)
	if n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 32<<20 {
		t.Errorf("it took %d MiB", grown>>20)
	}
	for _, h.Compression = range []string{Zstd, S2} {
		bomb := sealed(t, h, ring, make([]byte, 8<<20))
		if _, err := opened(bomb, ring, Expect{Size: 1 << 20}); !errors.Is(err, ErrTooLarge) || len(bomb) > 1<<19 {
			t.Errorf("%s of %d bytes: %v", h.Compression, len(bomb), err)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func FuzzReader(f *testing.F) {
	i, err := NewIdentity()
	must(f, err)
	h := header()
	h.Chunk = minChunk
	f.Add(sealed(f, h, i, state(3000)))
	h.Compression = None
	f.Add(sealed(f, h, i, state(3000)))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := opened(b, i, Expect{Size: 1 << 20})
		if err == nil && len(got) > 1<<20 {
			t.Errorf("%d bytes", len(got))
		}
	})
}

// What was sealed may be made by somebody who has the key: what is unpacked is not trusted either.
func FuzzInside(f *testing.F) {
	ring := newRing(f)
	f.Add([]byte("(\xb5/\xfd\x04\x00\x01\x00\x00"), false)
	f.Add([]byte("\xff\x06\x00\x00S2sTwO\x01\x08\x00\x00\x00\x00\x00\x00abcd"), true)
	f.Fuzz(func(t *testing.T, inside []byte, asS2 bool) {
		var b bytes.Buffer
		h := header()
		if asS2 {
			h.Compression = S2
		}
		w, err := NewWriter(&b, h, ring)
		must(t, err)
		_, err = w.sealed.Write(inside)
		must(t, err)
		must(t, w.sealed.flush(true))
		must(t, w.packed.Close()) // behind the end, where it is not looked at
		got, err := opened(b.Bytes(), ring, Expect{Size: 1 << 20})
		if err == nil && len(got) > 1<<20 {
			t.Errorf("%d bytes", len(got))
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	ring := newRing(b)
	for _, compression := range []string{None, S2, Zstd} {
		b.Run(compression, func(b *testing.B) {
			h, s := header(), state(10<<20)
			h.Compression = compression
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				w, err := NewWriter(io.Discard, h, ring)
				must(b, err)
				_, err = w.Write(s)
				must(b, err)
				must(b, w.Close())
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	ring := newRing(b)
	for _, compression := range []string{None, S2, Zstd} {
		b.Run(compression, func(b *testing.B) {
			h := header()
			h.Compression = compression
			file := sealed(b, h, ring, state(10<<20))
			b.SetBytes(10 << 20)
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(file), ring, Expect{})
				must(b, err)
				_, err = io.Copy(io.Discard, r)
				must(b, err)
				r.Close()
			}
		})
	}
}
