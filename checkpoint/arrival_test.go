package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/durable"
)

// pair is two nodes' archives, of which the second has the first one's key of tenant shop.
func pair(t testing.TB, b Bounds) (source, target *Archive) {
	t.Helper()
	source, err := OpenArchive(t.TempDir(), newRing(t), Bounds{})
	must(t, err)
	target, err = OpenArchive(t.TempDir(), newRing(t), b)
	must(t, err)
	must(t, target.ring.Adopt(shared(t, source.ring, "shop", "")))
	return source, target
}

// file is a checkpoint of small chunks, as it is on the wire.
func file(t testing.TB, a *Archive, n int) []byte {
	t.Helper()
	h := header()
	h.Chunk, h.Compression = minChunk, None
	return sealed(t, h, a.ring, state(n))
}

func incoming(t testing.TB, a *Archive, transfer string) *Arrival {
	t.Helper()
	r, err := a.Incoming(transfer, "shop")
	must(t, err)
	return r
}

// send appends in pieces and finishes.
func send(r *Arrival, b []byte, piece int) (Info, error) {
	for at := int(r.Offset()); at < len(b); at += piece {
		if err := r.Append(int64(at), b[at:min(at+piece, len(b))]); err != nil {
			return Info{}, err
		}
	}
	return r.Finish(Expect{Tenant: "shop", Cell: "worker", Epoch: 7})
}

// nothingLeft says that an archive has no file and counts none.
func nothingLeft(t testing.TB, a *Archive) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(a.store.dir, "*"))
	must(t, err)
	half, err := filepath.Glob(filepath.Join(a.store.dir, durable.Pattern))
	must(t, err)
	if len(all)+len(half) > 0 || len(a.of) > 0 || a.store.used != 0 || len(a.all) > 0 || len(a.arrivals) > 0 || len(a.coming) > 0 {
		t.Errorf("left are files %v %v, counts %v, %d bytes, %d known, %d arrivals", all, half, a.of, a.store.used, len(a.all), len(a.arrivals))
	}
}

// A file arrives in pieces of any size, and by as many streams as it takes.
func TestArrival(t *testing.T) {
	source, _ := pair(t, Bounds{})
	for _, size := range []int{0, 1, minChunk - 1, minChunk, minChunk + 1, 4 * minChunk, 4*minChunk + 99} {
		b := file(t, source, size)
		for _, piece := range []int{1, 11, 12, 13, minChunk + 15, minChunk + 16, minChunk + 17, 3 * minChunk, len(b)} {
			_, target := pair(t, Bounds{})
			must(t, target.ring.Adopt(shared(t, source.ring, "shop", "")))
			r := incoming(t, target, "m-1")
			half := len(b) / 2
			must(t, r.Append(0, b[:half]))
			if at := target.Arriving("m-1"); at != int64(half) {
				t.Errorf("%d of %d bytes are here", at, half)
			}
			i, err := send(incoming(t, target, "m-1"), b, piece) // another stream
			must(t, err)
			if i.ID == "" || i.Size != int64(len(b)) || target.of["shop"] != (share{i.Size, 1}) {
				t.Errorf("size %d piece %d: %+v, counted %+v", size, piece, i, target.of)
			}
			o, err := target.Open(i.ID, Expect{Tenant: "shop", Cell: "worker", Epoch: 7})
			must(t, err)
			got := bytes.Buffer{}
			_, err = got.ReadFrom(o)
			must(t, errors.Join(err, o.Close()))
			if !bytes.Equal(got.Bytes(), state(size)) {
				t.Errorf("size %d piece %d: %d bytes are another state", size, piece, got.Len())
			}
		}
	}
}

// An answer that was lost is given again; and nothing more comes to what has finished.
func TestArrivalFinishesTwice(t *testing.T) {
	source, target := pair(t, Bounds{})
	b := file(t, source, 3000)
	first, err := send(incoming(t, target, "m-1"), b, 1000)
	must(t, err)
	r := incoming(t, target, "m-1")
	if again, err := send(r, b, 1000); err != nil || again.ID != first.ID {
		t.Errorf("again: %+v, %v", again, err)
	}
	if err := r.Append(r.Offset(), []byte("more")); !errors.Is(err, ErrOffset) {
		t.Errorf("more: %v", err)
	}
	if _, err := r.Finish(Expect{Epoch: 8}); !errors.Is(err, ErrMismatch) {
		t.Errorf("as another: %v", err)
	}
	if other, err := send(incoming(t, target, "m-2"), b, 1000); err != nil || other.ID != first.ID || target.of["shop"].count != 1 {
		t.Errorf("the same by another transfer: %+v, %v, counted %v", other, err, target.of)
	}
	must(t, r.Discard())
	if _, err := target.Get(first.ID); err != nil {
		t.Errorf("discarded after it was kept: %v", err)
	}
}

// No bit of a file can be another, no end can be missing, and nothing can follow.
func TestArrivalOfAnotherFile(t *testing.T) {
	source, target := pair(t, Bounds{})
	b := file(t, source, 2*minChunk+50)
	arrives := func(what string, b []byte, piece int) {
		t.Helper()
		i, err := send(incoming(t, target, "m"), b, piece)
		switch {
		case err == nil:
			t.Errorf("%s: it is kept as %s", what, i.ID)
		case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrKey) && !errors.Is(err, ErrMismatch) && !errors.Is(err, ErrTruncated):
			t.Errorf("%s: %v", what, err)
		}
		if r := target.arrivals["m"]; r != nil {
			must(t, r.Discard())
		}
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for bit := 0; bit < 8*len(b); bit += step {
		flipped := bytes.Clone(b)
		flipped[bit/8] ^= 1 << (bit % 8)
		arrives(fmt.Sprint("bit ", bit), flipped, len(b))
	}
	for n := range b {
		arrives(fmt.Sprint("its first ", n), b[:n], 500)
	}
	arrives("more", append(bytes.Clone(b), 0), 500)
	nothingLeft(t, target)
}

func TestArrivalRefuses(t *testing.T) {
	source, target := pair(t, Bounds{TenantCount: 3})
	b := file(t, source, 3000)
	stranger, _ := pair(t, Bounds{})
	me, err := NewIdentity()
	must(t, err)
	of := func(tenant string) []byte {
		h := header()
		h.Tenant = tenant
		return sealed(t, h, source.ring, state(10))
	}
	for name, c := range map[string]struct {
		b  []byte
		e  Expect
		is error
	}{
		"another tenant":          {of("other"), Expect{}, ErrMismatch},
		"no key":                  {file(t, stranger, 3000), Expect{}, ErrKey},
		"sealed to an identity":   {sealed(t, header(), me, state(10)), Expect{}, ErrKey},
		"another cell":            {b, Expect{Cell: "other"}, ErrMismatch},
		"another epoch":           {b, Expect{Epoch: 6}, ErrMismatch},
		"nothing":                 {nil, Expect{}, ErrTruncated},
		"a header that is large":  {append([]byte(magic), 0xff, 0xff, 0xff, 0xff, 0), Expect{}, ErrFormat},
		"a header that is empty":  {append([]byte(magic), 0, 0, 0, 0), Expect{}, ErrFormat},
		"something else entirely": {[]byte("GET / HTTP/1.1\r\n\r\n"), Expect{}, ErrFormat},
	} {
		r := incoming(t, target, name)
		err := r.Append(0, c.b)
		if err == nil {
			_, err = r.Finish(c.e)
		}
		if !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
		if _, again := r.Finish(c.e); !errors.Is(again, c.is) || r.Append(r.Offset(), b) == nil {
			t.Errorf("%s: it goes on after that, or says %v", name, again)
		}
		must(t, r.Discard())
		nothingLeft(t, target)
	}
	for _, name := range []string{"", strings.Repeat("x", maxTransfer+1)} {
		if _, err := target.Incoming(name, "shop"); !errors.Is(err, ErrMismatch) {
			t.Errorf("transfer %.9q: %v", name, err)
		}
	}
	incoming(t, target, "mine")
	if _, err := target.Incoming("mine", "other"); !errors.Is(err, ErrMismatch) {
		t.Errorf("another tenant's transfer: %v", err)
	}
}

// What was sent before, what is not next, and two streams at once change nothing.
func TestArrivalOffsets(t *testing.T) {
	source, target := pair(t, Bounds{})
	b := file(t, source, 20_000)
	r := incoming(t, target, "m")
	must(t, r.Append(0, b[:5000]))
	for _, at := range []int64{0, 4999, 5001, -1, 1 << 40} {
		if err := r.Append(at, b[:100]); !errors.Is(err, ErrOffset) || !strings.Contains(err.Error(), "5000") || r.Offset() != 5000 {
			t.Errorf("at %d: %v; then %d", at, err, r.Offset())
		}
	}
	var streams sync.WaitGroup
	for range 4 {
		streams.Go(func() {
			for r.Offset() < int64(len(b)) {
				at := r.Offset()
				if err := r.Append(at, b[at:min(at+1+rand.Int64N(900), int64(len(b)))]); err != nil && !errors.Is(err, ErrOffset) {
					t.Error(err)
					return
				}
			}
		})
	}
	streams.Wait()
	if _, err := r.Finish(Expect{}); err != nil {
		t.Error(err)
	}
}

func TestArrivalQuotas(t *testing.T) {
	source, _ := pair(t, Bounds{})
	b := file(t, source, 10_000)
	for name, bounds := range map[string]Bounds{"the node's": {Bytes: 9000}, "the tenant's": {TenantBytes: 9000}} {
		_, target := pair(t, bounds)
		must(t, target.ring.Adopt(shared(t, source.ring, "shop", "")))
		if _, err := send(incoming(t, target, "m"), b, 700); !errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
		nothingLeft(t, target)
	}
	_, target := pair(t, Bounds{TenantCount: 1})
	incoming(t, target, "m-1")
	if _, err := target.Incoming("m-2", "shop"); !errors.Is(err, ErrFull) {
		t.Errorf("a second: %v", err)
	}
	if _, err := target.Incoming("m-3", "other"); err != nil {
		t.Errorf("another tenant's: %v", err)
	}
}

// Those that nothing comes of are given up; and there are no more than so many, of which those that have
// finished make room.
func TestArrivalsAreBounded(t *testing.T) {
	source, target := pair(t, Bounds{})
	now := time.Now()
	target.now = func() time.Time { return now }
	b := file(t, source, 3000)
	if _, err := send(incoming(t, target, "finished"), b, 1000); err != nil {
		t.Fatal(err)
	}
	for i := range maxArrivals {
		incoming(t, target, fmt.Sprint("m-", i))
	}
	if _, err := target.Incoming("more", "shop"); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
	now = now.Add(arrivalAge / 2)
	kept := incoming(t, target, "m-7")
	must(t, kept.Append(0, b[:100]))
	old := target.arrivals["m-8"]
	now = now.Add(arrivalAge/2 + time.Second)
	must(t, target.Prune())
	if len(target.arrivals) != 1 || kept.Append(100, b[100:200]) != nil {
		t.Errorf("%d are left", len(target.arrivals))
	}
	if err := old.Append(0, b); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was given up goes on: %v", err)
	}
	if s := target.of["shop"]; s.count != 2 {
		t.Errorf("counted are %+v", s)
	}
}

// A disk that is full is an error, and leaves nothing.
func TestArrivalOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	source, _ := pair(t, Bounds{})
	target, err := OpenArchive(dir, newRing(t), Bounds{})
	must(t, err)
	must(t, target.ring.Adopt(shared(t, source.ring, "shop", "")))
	b := file(t, source, 600_000)
	if _, err := send(incoming(t, target, "m"), b, 10_000); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a disk of 64 KiB: %v", err)
	}
	nothingLeft(t, target)
	if _, err := send(incoming(t, target, "m"), file(t, source, 10_000), 10_000); err != nil {
		t.Errorf("what has room: %v", err)
	}
}

// However a file is cut, and whatever it is: it is taken for one if and only if it is the one that was sealed.
func FuzzArrival(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "v2.key"))
	must(f, err)
	keys, err := ParseIdentity(string(text))
	must(f, err)
	whole, err := os.ReadFile(filepath.Join("testdata", "v2.s2.ckpt")) // the same in each process
	must(f, err)
	f.Add(whole, 100)
	f.Add(whole[:len(whole)-1], 3000)
	f.Add([]byte(magic+"\x00\x00\x00\x02{}"), 1)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		v := &verifier{keys: keys, may: Expect{Tenant: "shop"}.match}
		piece = max(1, piece%5000)
		var err error
		for at := 0; at < len(b) && err == nil; at += piece {
			_, err = v.Write(b[at:min(at+piece, len(b))])
		}
		if err == nil {
			err = v.Close()
		}
		if want := bytes.Equal(b, whole); want != (err == nil) {
			t.Errorf("%d bytes in pieces of %d: %v", len(b), piece, err)
		}
	})
}

func BenchmarkArrival(b *testing.B) {
	source, target := pair(b, Bounds{})
	h := header()
	h.Compression = None
	file := sealed(b, h, source.ring, state(10<<20))
	b.SetBytes(int64(len(file)))
	for n := 0; b.Loop(); n++ {
		i, err := send(incoming(b, target, fmt.Sprint(n)), file, 256<<10)
		must(b, err)
		must(b, target.Remove(i.ID))
	}
}
