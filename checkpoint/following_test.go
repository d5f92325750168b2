package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

// follower reads what is followed, until there is no more.
type follower struct {
	mu   sync.Mutex
	got  bytes.Buffer
	over chan error
}

func (f *follower) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got.Write(b)
}

func (f *follower) has() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.got.Bytes())
}

func follow(t testing.TB, r *Arrival) (*Following, *follower) {
	t.Helper()
	from, err := r.Follow()
	must(t, err)
	f := &follower{over: make(chan error, 1)}
	go func() {
		o, err := from.Open(Expect{Tenant: "shop", Cell: "worker"})
		if err == nil {
			_, err = io.CopyBuffer(f, struct{ io.Reader }{o}, make([]byte, 2*aheadBytes)) // more is asked for than has come
			err = errors.Join(err, o.Close())
		}
		f.over <- err
	}()
	return from, f
}

// whatever is waited for, when it comes it comes soon
func (f *follower) ends(t testing.TB) error {
	t.Helper()
	select {
	case err := <-f.over:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("whoever follows waits for ever")
		return nil
	}
}

func (f *follower) until(t testing.TB, bytes int) {
	t.Helper()
	await.That(t, fmt.Sprintf("%d bytes of the state are read", bytes), func() bool { return len(f.has()) >= bytes })
}

// Whoever follows an arrival has its state while it comes, and the end of it when that is allowed.
func TestFollowing(t *testing.T) {
	for _, size := range []int{0, 1, minChunk, 8*minChunk + 99} {
		source, target := pair(t, Bounds{})
		b := file(t, source, size)
		r := incoming(t, target, "m-1")
		from, f := follow(t, r)
		if _, err := r.Follow(); !errors.Is(err, ErrNotFound) {
			t.Errorf("followed twice: %v", err)
		}
		must(t, r.Append(0, b[:len(b)/2]))
		f.until(t, max(0, size/2-2*minChunk))
		_, err := send(r, b, 700)
		must(t, err)
		f.until(t, max(0, size-minChunk-1))
		select {
		case err := <-f.over:
			t.Errorf("size %d: it has ended before that was allowed: %v", size, err)
		case <-time.After(20 * time.Millisecond):
		}
		if got := len(f.has()); got >= size && size > 0 {
			t.Errorf("size %d: all %d bytes were given before that was allowed", size, got)
		}
		from.Allow()
		if err := f.ends(t); err != nil || !bytes.Equal(f.has(), state(size)) {
			t.Errorf("size %d: %v, and %d bytes were read", size, err, len(f.has()))
		}
	}
}

// Whatever ends an arrival ends whoever follows it, who has had nothing that was not sealed.
func TestFollowingBreaksOff(t *testing.T) {
	for name, c := range map[string]struct {
		what func(*Arrival, *Following, []byte) error
		want error
	}{
		"given up": {func(r *Arrival, _ *Following, _ []byte) error { return r.Discard() }, ErrNotFound},
		"let go":   {func(_ *Arrival, f *Following, _ []byte) error { return f.Close() }, errFollowing},
		"ended well": {func(r *Arrival, f *Following, b []byte) error {
			_, err := send(r, b, 99)
			return errors.Join(err, f.Close())
		}, errFollowing},
		"damaged": {func(r *Arrival, f *Following, b []byte) error {
			f.Allow()
			b[len(b)-1] ^= 1
			if _, err := send(r, b, 4096); !errors.Is(err, ErrDamaged) {
				return errors.Join(errors.New("what is damaged was taken"), err)
			}
			return nil
		}, ErrDamaged},
		"cut off": {func(r *Arrival, f *Following, b []byte) error {
			f.Allow()
			if _, err := send(r, b[:len(b)-minChunk], 4096); err == nil {
				return errors.New("what is cut off was taken")
			}
			return nil
		}, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := pair(t, Bounds{})
			const size = 8*minChunk + 99
			b := file(t, source, size)
			r := incoming(t, target, "m-1")
			from, f := follow(t, r)
			must(t, r.Append(0, b[:len(b)/2]))
			f.until(t, 2*minChunk)
			must(t, c.what(r, from, bytes.Clone(b)))
			if err := f.ends(t); !errors.Is(err, c.want) {
				t.Errorf("it ended with %v", err)
			}
			if got := f.has(); len(got) >= size || !bytes.Equal(got, state(size)[:len(got)]) {
				t.Errorf("%d bytes were given", len(got))
			}
			must(t, from.Close())
		})
	}
}

// What has come whole is followed to its end, also by who takes longer than a transfer may stand still.
func TestFollowingWhatIsForgotten(t *testing.T) {
	source, target := pair(t, Bounds{})
	now := time.Now()
	target.now = func() time.Time { return now }
	b := file(t, source, 8*minChunk)
	r := incoming(t, target, "m-1")
	from, f := follow(t, r)
	_, err := send(r, b, len(b))
	must(t, err)
	now = now.Add(arrivalAge + time.Second)
	must(t, target.Prune())
	if len(target.arrivals) > 0 {
		t.Error("the transfer is known still")
	}
	from.Allow()
	if err := f.ends(t); err != nil || len(f.has()) != 8*minChunk {
		t.Errorf("%d bytes of the state, %v", len(f.has()), err)
	}
}
