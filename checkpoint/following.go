package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// errFollowing: whoever followed an arrival does so no more.
var errFollowing = errors.New("checkpoint: it is followed no more")

// Following is the file of an [Arrival] while it comes: reading it waits for what has not. It ends when all of
// the file was verified, and Allow was called: until then nobody learns that a state is whole. It is for one
// reader; Allow and Close may be called from any goroutine.
type Following struct {
	file *os.File
	keys Keys
	at   int64

	mu      sync.Mutex
	changed sync.Cond
	there   int64 // so much was verified, but for the last chunk, and is in the file
	whole   bool  // and it is all
	allowed bool
	err     error // why there is no more
}

// Follow begins to follow an arrival that is on its way, from its first byte on. It can be followed once.
func (r *Arrival) Follow() (*Following, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended != nil:
		return nil, r.ended
	case r.draft == nil || r.follower != nil:
		return nil, fmt.Errorf("%w: transfer %.80q is over, or is followed already", ErrNotFound, r.transfer)
	}
	if err := r.draft.flush(); err != nil {
		return nil, r.end(err)
	}
	file, err := os.Open(r.draft.file.Name())
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	f := &Following{file: file, keys: r.of.ring, there: r.size}
	f.changed.L = &f.mu
	r.follower = f
	return f, nil
}

// follow has who follows know how much has come. The caller holds r.mu.
func (r *Arrival) follow(whole bool) error {
	if r.follower == nil {
		return nil
	}
	if err := r.draft.flush(); err != nil {
		return err
	}
	r.follower.set(func(f *Following) { f.there, f.whole = r.size, whole })
	return nil
}

func (f *Following) set(change func(*Following)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
	f.changed.Broadcast()
}

func (f *Following) stop(why error) {
	f.set(func(f *Following) {
		if f.err == nil {
			f.err = why
		}
	})
}

// Allow has the file end when it does.
func (f *Following) Allow() { f.set(func(f *Following) { f.allowed = true }) }

// Close ends a Read that waits, too.
func (f *Following) Close() error {
	f.stop(errFollowing)
	if err := f.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Read implements io.Reader.
func (f *Following) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	have, err := f.await()
	if err != nil {
		return 0, err
	}
	n, err := f.file.ReadAt(b[:min(int64(len(b)), have)], f.at)
	f.at += int64(n)
	if n > 0 { // what is lacking comes next, or why it does not
		return n, nil
	}
	return 0, fmt.Errorf("checkpoints: %w", early(err))
}

// await returns how many bytes can be read, at least one.
func (f *Following) await() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch have := f.there - f.at; {
		case f.err != nil:
			return 0, f.err
		case have > 0:
			return have, nil
		case f.whole && f.allowed:
			return 0, io.EOF
		}
		f.changed.Wait()
	}
}

// Open opens the checkpoint that comes, and waits for its beginning. What Opened gives is verified, and the
// last of it comes when the file ends. To close it closes f.
func (f *Following) Open(e Expect) (*Opened, error) { return open(f, f.keys, e) }
