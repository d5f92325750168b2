package wire

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n")
		s := rapid.String().Draw(t, "s")
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "b")
		ns := rapid.Int64().Draw(t, "ns")
		flag := rapid.Bool().Draw(t, "flag")
		when := time.Time{}
		if ns != 0 {
			when = time.Unix(0, ns).UTC()
		}
		var w Writer
		w.Byte(7)
		w.Uint(n)
		w.Bool(flag)
		w.Time(when)
		w.String(s)
		w.Bytes(b)
		w.Hash([32]byte{1, 2, 3})
		r := NewReader(w.B)
		if got := r.Byte(); got != 7 {
			t.Fatal(got)
		}
		if got := r.Uint(); got != n {
			t.Fatal(got)
		}
		if got := r.Bool(); got != flag {
			t.Fatal(got)
		}
		if got := r.Time(); !got.Equal(when) {
			t.Fatal(got, when)
		}
		if got := r.String(len(s)); got != s {
			t.Fatal(got)
		}
		if got := r.Bytes(len(b)); !bytes.Equal(got, b) {
			t.Fatal(got)
		}
		if r.Hash() != [32]byte{1, 2, 3} || r.More() || r.Done() != nil {
			t.Fatal(r.Err())
		}
	})
}

func TestMalformed(t *testing.T) {
	for name, read := range map[string]func() *Reader{
		"empty":        func() *Reader { r := NewReader(nil); r.Byte(); return r },
		"long varint":  func() *Reader { r := NewReader([]byte{0x80, 0}); r.Uint(); return r },
		"endless":      func() *Reader { r := NewReader(bytes.Repeat([]byte{0xff}, 12)); r.Uint(); return r },
		"short string": func() *Reader { r := NewReader([]byte{3, 'a'}); _ = r.String(9); return r },
		"long string":  func() *Reader { r := NewReader([]byte{3, 'a', 'b', 'c'}); _ = r.String(2); return r },
		"truth":        func() *Reader { r := NewReader([]byte{2}); r.Bool(); return r },
		"short time":   func() *Reader { r := NewReader(make([]byte, 7)); r.Time(); return r },
		"short hash":   func() *Reader { r := NewReader(make([]byte, 31)); r.Hash(); return r },
		"left over":    func() *Reader { r := NewReader([]byte{1, 2}); r.Byte(); return r },
	} {
		r := read()
		if err := r.Done(); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		if r.Uint() != 0 || r.Bytes(9) != nil || r.More() {
			t.Errorf("%s: it yields something after an error", name)
		}
	}
}

func TestSeal(t *testing.T) {
	bucket, key := []byte("b"), []byte("key")
	sealed := Seal(bucket, key, []byte("body"))
	if body, err := Open(bucket, key, sealed); err != nil || string(body) != "body" {
		t.Fatal(body, err)
	}
	for i := range len(sealed) * 8 {
		flipped := bytes.Clone(sealed)
		flipped[i/8] ^= 1 << (i % 8)
		if _, err := Open(bucket, key, flipped); err == nil {
			t.Errorf("bit %d", i)
		}
	}
	for i := range sealed {
		if _, err := Open(bucket, key, sealed[:i]); err == nil {
			t.Errorf("%d bytes", i)
		}
	}
	if _, err := Open([]byte("bk"), []byte("ey"), sealed); err == nil {
		t.Error("another place")
	}
}

func TestHasTime(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want bool
	}{
		{time.Time{}, true}, {time.Unix(0, 1), true}, {MaxTime, true},
		{time.Unix(0, 0), false}, {time.Unix(-1, 0), false}, {MaxTime.Add(1), false}, {time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC), false},
	} {
		var w Writer
		w.Time(c.at)
		if got := HasTime(c.at); got != c.want || got != NewReader(w.B).Time().Equal(c.at) && got {
			t.Errorf("%v: %v", c.at, got)
		}
	}
}
