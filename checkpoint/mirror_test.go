package checkpoint

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A state that is sealed at one node is at the other when it is sealed, by the same name.
func TestMirror(t *testing.T) {
	for _, size := range []int{0, 10, 1_000_000, 2*ahead + 10} {
		source, target := pair(t, Bounds{})
		h, content := header(), state(size)
		if size > ahead { // as large on the disk
			h.Compression = None
		}
		r := incoming(t, target, "m")
		var key string
		s, err := source.SealMirrored(h, []byte("terms"), func(h Header) (io.Writer, error) {
			key = h.Key.ID
			return appending{r}, nil
		})
		must(t, err)
		for at := 0; at < size; at += 100_000 {
			_, err = s.Write(content[at:min(at+100_000, size)])
			must(t, err)
		}
		must(t, s.End())
		there, err := r.Finish(Expect{Tenant: "shop", Cell: "worker", Epoch: 7})
		must(t, err)
		here, err := s.Keep()
		must(t, err)
		if n, err := s.Mirrored(); here.ID != there.ID || n != here.Size || err != nil || key != here.Header.Key.ID {
			t.Errorf("size %d: %s here, %s there; %d of %d bytes, %v; key %s", size, here.ID, there.ID, n, here.Size, err, key)
		}
	}
}

// appending writes to an arrival as if it were at the other end of a stream.
type appending struct{ to *Arrival }

func (a appending) Write(b []byte) (int, error) { return len(b), a.to.Append(a.to.Offset(), b) }

// failing takes so many bytes.
type failing struct {
	to   io.Writer
	left int
}

var errBroken = errors.New("the stream is broken")

func (f *failing) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	f.left -= n
	if _, err := f.to.Write(b[:n]); err != nil {
		return 0, err
	}
	if n < len(b) {
		return n, errBroken
	}
	return n, nil
}

// A mirror that fails does not keep the archive from having its file, from which the transfer then goes
// on.
func TestMirrorBreaks(t *testing.T) {
	want := state(2_000_000)
	for _, after := range []int{0, 1, 100, 400_000} {
		source, target := pair(t, Bounds{})
		r := incoming(t, target, "m")
		s, err := source.SealMirrored(header(), nil, func(Header) (io.Writer, error) { return &failing{appending{r}, after}, nil })
		must(t, err)
		_, err = s.Write(want)
		must(t, err)
		here, err := s.Keep()
		must(t, err)
		if n, err := s.Mirrored(); n != int64(after) || !errors.Is(err, errBroken) {
			t.Errorf("after %d: %d bytes, %v", after, n, err)
		}
		rest, _, err := source.OpenAt(here.ID, target.Arriving("m"))
		must(t, err)
		_, err = io.Copy(appending{r}, struct{ io.Reader }{rest})
		must(t, errors.Join(err, rest.Close()))
		if there, err := r.Finish(Expect{}); err != nil || there.ID != here.ID {
			t.Errorf("after %d: %s is %s there, %v", after, here.ID, there.ID, err)
		}
	}
}

// What was given up has no end, at the other node either: half of a state would be kept there as if it were all of it.
func TestMirrorOfWhatIsGivenUp(t *testing.T) {
	for _, compression := range []string{S2, Zstd, None} {
		source, target := pair(t, Bounds{})
		r := incoming(t, target, "m")
		h := header()
		h.Compression = compression
		s, err := source.SealMirrored(h, []byte("terms"), func(Header) (io.Writer, error) { return appending{r}, nil })
		must(t, err)
		_, err = s.Write(state(100_000))
		must(t, err)
		must(t, s.Discard())
		if i, err := r.Finish(Expect{Tenant: "shop", Cell: "worker"}); !errors.Is(err, ErrTruncated) || len(target.List("", "")) > 0 {
			t.Errorf("%s: the other node has %v, %v", compression, i, err)
		}
	}
}

func TestMirrorThatIsNone(t *testing.T) {
	source, _ := pair(t, Bounds{})
	for name, m := range map[string]Mirror{
		"an error": func(Header) (io.Writer, error) { return nil, errBroken },
		"nothing":  func(Header) (io.Writer, error) { return nil, nil },
	} {
		s, err := source.SealMirrored(header(), nil, m)
		must(t, err)
		_, err = s.Keep()
		must(t, err)
		if n, err := s.Mirrored(); n != 0 || err == nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	s, err := source.Seal(header(), nil, nil)
	must(t, err)
	if _, err := s.Mirrored(); err == nil {
		t.Error("without a mirror it is mirrored")
	}
	must(t, s.Discard())
	if _, err := s.Keep(); err == nil || s.Discard() == nil {
		t.Error("what was discarded is kept, or discarded again")
	}
	if s := source.of["shop"]; s.count != 2 {
		t.Errorf("counted are %+v", s)
	}
}

// What the archive has no room for ends, also for the mirror.
func TestMirrorOfWhatIsRefused(t *testing.T) {
	a, dir := newArchive(t, Bounds{TenantBytes: 100_000})
	var sent bytes.Buffer
	h := header()
	h.Compression = None
	s, err := a.SealMirrored(h, nil, func(Header) (io.Writer, error) { return &sent, nil })
	must(t, err)
	_, err = s.Write(state(1_000_000))
	if !errors.Is(err, ErrFull) {
		t.Errorf("it is written: %v", err)
	}
	if _, err := s.Mirrored(); !errors.Is(err, ErrFull) || sent.Len() > 100_000 {
		t.Errorf("%d bytes are sent, %v", sent.Len(), err)
	}
	must(t, s.Discard())
	if left, _ := os.ReadDir(dir); len(left) > 0 || len(a.of) > 0 {
		t.Errorf("left are %v, %v", left, a.of)
	}
}

func TestOpenAt(t *testing.T) {
	a, dir := newArchive(t, Bounds{})
	i, err := kept(t, a, "shop", "worker", 0, state(10_000))
	must(t, err)
	b, err := os.ReadFile(filepath.Join(dir, i.ID+suffix))
	must(t, err)
	for _, at := range []int64{0, 1, i.Size / 2, i.Size} {
		f, info, err := a.OpenAt(i.ID, at)
		must(t, err)
		got, err := io.ReadAll(f)
		must(t, errors.Join(err, f.Close()))
		if !bytes.Equal(got, b[at:]) || info.ID != i.ID {
			t.Errorf("from %d come %d bytes", at, len(got))
		}
	}
	for _, at := range []int64{-1, i.Size + 1} {
		if _, _, err := a.OpenAt(i.ID, at); !errors.Is(err, ErrOffset) {
			t.Errorf("from %d: %v", at, err)
		}
	}
	if _, _, err := a.OpenAt("../x", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("another name: %v", err)
	}
}

func BenchmarkMirror(b *testing.B) {
	source, target := pair(b, Bounds{})
	content := state(100 << 20)
	for _, compression := range []string{None, S2, Zstd} {
		b.Run(compression, func(b *testing.B) {
			h := header()
			h.Compression = compression
			b.SetBytes(int64(len(content)))
			var disk time.Duration
			for b.Loop() {
				r := incoming(b, target, "m")
				s, err := source.SealMirrored(h, nil, func(Header) (io.Writer, error) { return appending{r}, nil })
				must(b, err)
				_, err = s.Write(content)
				must(b, err)
				must(b, s.End())
				ended := time.Now()
				_, err = r.Finish(Expect{})
				must(b, err)
				i, err := s.Keep()
				must(b, err)
				disk += time.Since(ended)
				must(b, errors.Join(source.Remove(i.ID), target.Remove(i.ID), r.forgetForTest()))
			}
			b.ReportMetric(float64(disk.Microseconds())/1e3/float64(b.N), "disk-ms/op")
		})
	}
}

// forgetForTest lets the transfer's name be used again.
func (r *Arrival) forgetForTest() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.end(ErrNotFound)
	return nil
}
