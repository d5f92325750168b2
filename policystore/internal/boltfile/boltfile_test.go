package boltfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var bucketName = []byte("bucket")

func makeBucket(tx *bolt.Tx) error {
	_, err := tx.CreateBucketIfNotExists(bucketName)
	return err
}

// change makes some change: puts, deletes, nested and inline buckets, values of many pages.
func change(r *rand.Rand, tx *bolt.Tx) error {
	b := tx.Bucket(bucketName)
	for range r.IntN(40) {
		key := binary.BigEndian.AppendUint32(nil, r.Uint32N(2000))
		size := r.IntN(200)
		if r.IntN(20) == 0 {
			size = r.IntN(5 * PageSize)
		}
		if err := b.Put(key, make([]byte, size)); err != nil {
			return err
		}
	}
	for range r.IntN(40) {
		if err := b.Delete(binary.BigEndian.AppendUint32(nil, r.Uint32N(2000))); err != nil {
			return err
		}
	}
	nested, err := b.CreateBucketIfNotExists(fmt.Appendf(nil, "nested%d", r.IntN(5)))
	if err != nil {
		return err
	}
	for range r.IntN(30) {
		if err := nested.Put(binary.BigEndian.AppendUint32(nil, r.Uint32()), make([]byte, r.IntN(50))); err != nil {
			return err
		}
	}
	if r.IntN(10) == 0 {
		return b.DeleteBucket(fmt.Appendf(nil, "nested%d", r.IntN(5)))
	}
	return nil
}

// makeFile makes a file with changes, calling each after every one.
func makeFile(t testing.TB, path string, changes int, each func(int)) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(changes)))
	db, err := Open(path, 0, makeBucket)
	if err != nil {
		t.Fatal(err)
	}
	db.NoSync = true
	for i := range changes {
		if err := db.Update(func(tx *bolt.Tx) error { return change(r, tx) }); err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
			t.Fatal(err)
		}
		each(i)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSoundFilesPass(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	makeFile(t, path, 300, func(i int) {
		data, err := os.ReadFile(path)
		if err == nil {
			err = Check(bytes.NewReader(data), int64(len(data)), path)
		}
		if err != nil {
			t.Fatalf("after change %d: %v", i, err)
		}
	})
	db, err := Open(path, 1<<24, makeBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, 0, makeBucket); !errors.Is(err, ErrLocked) {
		t.Errorf("a second open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// shape is which records a reader of the file meets, whatever their keys and values are.
func shape(path string) (shape [32]byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	db, err := open(path, 0)
	if err != nil {
		return shape, err
	}
	defer func() { _ = db.Close() }() // only read
	h := sha256.New()
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			return walk(b, func(nested bool) { _, _ = fmt.Fprintln(h, nested) })
		})
	})
	return [32]byte(h.Sum(nil)), err
}

func walk(b *bolt.Bucket, each func(nested bool)) error {
	return b.ForEach(func(k, v []byte) error {
		each(v == nil)
		if v == nil {
			return walk(b.Bucket(k), each)
		}
		return nil
	})
}

// TestDamage flips bits and cuts the file. What Check lets pass, bbolt must read without
// trouble and with the same shape.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path, damaged := filepath.Join(dir, "file"), filepath.Join(dir, "damaged")
	makeFile(t, path, 12, func(int) {})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := shape(path)
	if err != nil {
		t.Fatal(err)
	}
	found, passed := 0, 0
	try := func(what string, data []byte) {
		t.Helper()
		err := Check(bytes.NewReader(data), int64(len(data)), damaged)
		var d *Damage
		if errors.As(err, &d) {
			found++
			return
		}
		if err != nil {
			t.Fatalf("%s: %v is not a Damage", what, err)
		}
		passed++
		if err := os.WriteFile(damaged, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := shape(damaged); err != nil || got != want {
			t.Errorf("%s: Check found nothing; reading: %v, another shape: %v", what, err, got != want)
		}
	}
	for _, bit := range bitsToFlip(whole) {
		whole[bit/8] ^= 1 << (bit % 8)
		try(fmt.Sprintf("bit %d of page %d", bit%(8*PageSize), bit/8/PageSize), whole)
		whole[bit/8] ^= 1 << (bit % 8)
	}
	for cut := 0; cut < len(whole); cut += PageSize / 2 {
		if Check(bytes.NewReader(whole[:cut]), int64(cut), damaged) == nil && uint64(cut) < usedPages(t, whole)*PageSize {
			t.Errorf("cut at %d: nothing was found", cut)
		}
	}
	t.Logf("%d found, %d without consequence", found, passed)
	if found < 500 {
		t.Errorf("only %d found", found)
	}
}

// bitsToFlip are all of the meta pages' and of each page's beginning, where headers and
// elements are, and some of the others.
func bitsToFlip(whole []byte) (bits []int) {
	r := rand.New(rand.NewPCG(2, 3))
	for bit := range len(whole) * 8 {
		within := bit / 8 % PageSize
		switch {
		case bit/8 < 2*PageSize && within < headerSize+metaSize, within < headerSize, within < 64 && r.IntN(8) == 0, r.IntN(6000) == 0:
			if r.IntN(8) == 0 || !testing.Short() && r.IntN(3) == 0 {
				bits = append(bits, bit)
			}
		}
	}
	return bits
}

func usedPages(t *testing.T, whole []byte) uint64 {
	t.Helper()
	c := &checker{r: bytes.NewReader(whole)}
	m, err := c.newest()
	if err != nil {
		t.Fatal(err)
	}
	return m.pages
}

func FuzzCheck(f *testing.F) {
	path := filepath.Join(f.TempDir(), "file")
	makeFile(f, path, 2, func(int) {})
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, byte(0), 0, byte(0))
	f.Add(2*PageSize, byte(1), 3*PageSize+10, byte(0xff))
	f.Fuzz(func(t *testing.T, at int, with byte, also int, as byte) {
		data := bytes.Clone(whole)
		if at >= 0 && at < len(data) {
			data[at] ^= with
		}
		if also >= 0 && also < len(data) {
			data[also] ^= as
		}
		err := Check(bytes.NewReader(data), int64(len(data)), path)
		var d *Damage
		if err != nil && !errors.As(err, &d) {
			t.Fatal(err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	path := filepath.Join(b.TempDir(), "file")
	makeFile(b, path, 400, func(int) {})
	whole, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(whole)))
	for b.Loop() {
		if err := Check(bytes.NewReader(whole), int64(len(whole)), path); err != nil {
			b.Fatal(err)
		}
	}
}
