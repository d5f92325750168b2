package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/durable"
)

func put(t testing.TB, s *Store, b []byte) (Info, error) {
	t.Helper()
	d, err := s.Create()
	must(t, err)
	if _, err := d.Write(b); err != nil {
		return Info{}, errors.Join(err, d.Discard())
	}
	return d.Keep()
}

func TestStore(t *testing.T) {
	dir, ring := t.TempDir(), newRing(t)
	s, err := OpenStore(dir, 0)
	must(t, err)
	file := sealed(t, header(), ring, state(100_000))
	i, err := put(t, s, file)
	must(t, err)
	if i.Size != int64(len(file)) || i.Header.Cell != "worker" {
		t.Errorf("info %+v", i)
	}
	if same, err := put(t, s, file); err != nil || same.ID != i.ID || s.used != i.Size {
		t.Errorf("the same again: %+v, %v; %d bytes are used", same, err, s.used)
	}
	f, _, err := s.Open(i.ID)
	must(t, err)
	got, err := io.ReadAll(struct{ io.Reader }{f})
	must(t, err)
	must(t, f.Close())
	if !bytes.Equal(got, file) {
		t.Error("it is not what was put")
	}
	again, err := OpenStore(dir, 0)
	must(t, err)
	if all, err := again.List(); err != nil || len(all) != 1 || all[0].ID != i.ID || again.used != i.Size {
		t.Errorf("after opening: %+v, %v", all, err)
	}
	must(t, s.Remove(i.ID))
	must(t, s.Remove(i.ID))
	if _, _, err := s.Open(i.ID); !errors.Is(err, ErrNotFound) || s.used != 0 {
		t.Errorf("after its removal: %v; %d bytes are used", err, s.used)
	}
	for _, bad := range []string{"", "../../etc/passwd", i.ID[1:], i.ID + "/"} {
		if _, _, err := s.Open(bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
		if err := s.Remove(bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("remove %q: %v", bad, err)
		}
	}
}

// Two that remove a checkpoint at once, as a request and a retention do, both find it gone, and what it took is given
// back once.
func TestStoreRemovesOnce(t *testing.T) {
	s, err := OpenStore(t.TempDir(), 0)
	must(t, err)
	file := sealed(t, header(), newRing(t), state(100))
	for range 300 {
		i, err := put(t, s, file)
		must(t, err)
		var errs [2]error
		var both sync.WaitGroup
		for n := range errs {
			both.Go(func() { errs[n] = s.Remove(i.ID) })
		}
		both.Wait()
		if err := errors.Join(errs[:]...); err != nil || s.used != 0 {
			t.Fatalf("%v; %d bytes are used", err, s.used)
		}
	}
}

func TestStoreIsFull(t *testing.T) {
	ring := newRing(t)
	file := sealed(t, header(), ring, state(1000))
	s, err := OpenStore(t.TempDir(), int64(len(file))+100)
	must(t, err)
	_, err = put(t, s, file)
	must(t, err)
	if _, err := put(t, s, sealed(t, header(), ring, state(2000))); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, durable.Pattern))
	if len(left) > 0 || s.used != int64(len(file)) {
		t.Errorf("left are %v; %d bytes are used", left, s.used)
	}
}

func TestStoreDamage(t *testing.T) {
	ring := newRing(t)
	s, err := OpenStore(t.TempDir(), 0)
	must(t, err)
	i, err := put(t, s, sealed(t, header(), ring, state(1000)))
	must(t, err)
	must(t, s.Verify(i.ID))
	b, err := os.ReadFile(s.path(i.ID))
	must(t, err)
	b[len(b)-1] ^= 1
	must(t, os.WriteFile(s.path(i.ID), b, 0o600))
	if err := s.Verify(i.ID); !errors.Is(err, ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
	if _, err := put(t, s, []byte("hello, this is no checkpoint at all")); !errors.Is(err, ErrFormat) {
		t.Errorf("no checkpoint: %v", err)
	}
}

// writeForEver is a process that keeps checkpoints until it is killed, and says which are kept.
func writeForEver(dir string) error {
	s, err := OpenStore(dir, 0)
	if err != nil {
		return err
	}
	ring, err := OpenRing(filepath.Join(dir, "ring"), nil)
	if err != nil {
		return err
	}
	for n := uint64(1); ; n++ {
		h := header()
		h.Epoch = n
		d, err := s.Create()
		if err != nil {
			return err
		}
		w, err := NewWriter(d, h, ring)
		if err != nil {
			return err
		}
		if _, err := w.Write(state(200_000)); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		i, err := d.Keep()
		if err != nil {
			return err
		}
		fmt.Println(i.ID)
	}
}

// What was kept is there, whole, after the process was killed; and nothing else is.
func TestKilled(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	for range rounds {
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), writerEnv+"="+dir)
		out, err := c.StdoutPipe()
		must(t, err)
		must(t, c.Start())
		time.AfterFunc(time.Duration(20+rand.IntN(60))*time.Millisecond, func() { _ = c.Process.Kill() })
		said, _ := io.ReadAll(out)
		_ = c.Wait()
		s, err := OpenStore(dir, 0)
		must(t, err)
		ring, err := OpenRing(filepath.Join(dir, "ring"), nil)
		must(t, err)
		for line := range bytes.Lines(said) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				continue
			}
			f, _, err := s.Open(string(bytes.TrimSpace(line)))
			must(t, err)
			r, err := NewReader(struct{ io.Reader }{f}, ring, Expect{})
			must(t, err)
			if n, err := io.Copy(io.Discard, r); err != nil || n != 200_000 {
				t.Errorf("%s: %d bytes, %v", line, n, err)
			}
			r.Close()
			must(t, f.Close())
		}
		if left, _ := filepath.Glob(filepath.Join(dir, durable.Pattern)); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
	}
}

func BenchmarkStore(b *testing.B) {
	ring := newRing(b)
	s, err := OpenStore(b.TempDir(), 0)
	must(b, err)
	h, content := header(), state(1<<20)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		d, err := s.Create()
		must(b, err)
		w, err := NewWriter(d, h, ring)
		must(b, err)
		_, err = w.Write(content)
		must(b, err)
		must(b, w.Close())
		i, err := d.Keep()
		must(b, err)
		must(b, s.Remove(i.ID))
	}
}

// A file whose name could not be put on the disk is none, unless the same was here before.
func TestStoreKeepsNothingWithoutItsName(t *testing.T) {
	a, err := OpenArchive(t.TempDir(), newRing(t), Bounds{})
	must(t, err)
	b := sealed(t, header(), a.ring, state(10))
	keep := func() (Info, error) {
		d, err := a.draft("shop")
		must(t, err)
		_, err = d.Write(b)
		must(t, err)
		return d.keep()
	}
	withoutSync(t, a.store.dir, func() {
		if _, err := keep(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("it is kept: %v", err)
		}
	})
	nothingLeft(t, a)
	i, err := keep()
	must(t, err)
	withoutSync(t, a.store.dir, func() {
		if _, err := keep(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("it is kept again: %v", err)
		}
	})
	must(t, a.store.Verify(i.ID))
	if a.store.used != i.Size || a.of["shop"] != (share{i.Size, 1}) {
		t.Errorf("%d bytes are counted, %v of the tenant; it has %d", a.store.used, a.of["shop"], i.Size)
	}
}

// withoutSync runs do where a directory cannot be opened, and so not be put on the disk, whoever runs the test.
func withoutSync(t *testing.T, dir string, do func()) {
	t.Helper()
	must(t, os.Chmod(dir, 0o300))
	defer func() { must(t, os.Chmod(dir, 0o700)) }()
	runtime.LockOSThread() // what it may is a thread's
	defer runtime.UnlockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	must(t, unix.Capget(&head, &had[0]))
	less := had
	less[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	must(t, unix.Capset(&head, &less[0]))
	defer func() { must(t, unix.Capset(&head, &had[0])) }()
	do()
}
