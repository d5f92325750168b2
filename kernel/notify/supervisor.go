package notify

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

var (
	// ErrUnsupported: the kernel has no notifications, or none that inject descriptors.
	ErrUnsupported = errors.New("notify: this kernel has no notifications that open files")
	// ErrNoListener: a descriptor is something else than a listener.
	ErrNoListener = errors.New("notify: this is no listener of a filter")
	// ErrFull: as many listeners as there may be, or as one owner may have, are served.
	ErrFull = errors.New("notify: no more listeners can be served")
	// ErrClosed: the supervisor has been closed.
	ErrClosed = errors.New("notify: the supervisor is closed")
)

// Options are how a supervisor serves. The zero value is for a node.
type Options struct {
	// Denied is told of each refusal by the rules, on the goroutine of the thread that was
	// refused: while it takes its time, only that thread waits. It is told of 100 a second and
	// target at most; the others are counted as Lost. Nil: nobody is told.
	Denied func(Denial)
	// MaxListeners bounds those that are served at one time; 0 is 4096.
	MaxListeners int
	// MaxPerOwner bounds those of one [Target].Owner, so that one host does not use up the
	// node's: it may send the same listener again and again. 0 is 1024. It is also how many
	// cells of one host can be watched.
	MaxPerOwner int
	// MaxOpen bounds the calls that are worked on at one time, which is how many threads the
	// node may lose to a file system that hangs; 0 is 256. Others wait for a place.
	MaxOpen int
	// MaxWait is how long a call waits for a place before it fails with EACCES; 0 is 10 s. A
	// machine that is merely busy should not get there.
	MaxWait time.Duration
}

// closeWait is how long Close waits for a call that is worked on.
const closeWait = 5 * time.Second

// A Supervisor answers the notifications of many listeners.
type Supervisor struct {
	options  Options
	arch     uint32
	calls    map[int32]operation
	root     unix.Stat_t // the node's
	rootDir  int         // O_PATH, as is self
	self     int         // /proc/self/fd
	places   chan struct{}
	naming   *naming
	lock     sync.Mutex
	served   int
	owned    map[any]int // how many are served, of those that have an owner
	watched  map[*Watched]struct{}
	past     Counts // of those that are watched no more
	closed   bool
	watchers sync.WaitGroup
}

// New makes a supervisor, which needs /proc. Its errors wrap ErrUnsupported where the
// kernel or the architecture lacks something.
func New(o Options) (*Supervisor, error) {
	arch, err := seccomp.Here()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err := checkSizes(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if o.MaxListeners <= 0 {
		o.MaxListeners = 4096
	}
	if o.MaxPerOwner <= 0 {
		o.MaxPerOwner = 1024
	}
	if o.MaxOpen <= 0 {
		o.MaxOpen = 256
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 10 * time.Second
	}
	s := &Supervisor{options: o, arch: arch.Call(0).Arch, calls: operationsOf(arch), rootDir: -1, self: -1,
		places: make(chan struct{}, o.MaxOpen), naming: newNaming(), owned: map[any]int{}, watched: map[*Watched]struct{}{}}
	if err := s.openDirectories(); err != nil {
		s.closeDirectories()
		return nil, fmt.Errorf("notify: %w", err)
	}
	return s, nil
}

func (s *Supervisor) openDirectories() error {
	var err error
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	if s.rootDir, err = unix.Open("/", flags, 0); err != nil {
		return fmt.Errorf("open the root: %w", err)
	}
	if err := unix.Fstat(s.rootDir, &s.root); err != nil {
		return fmt.Errorf("look at the root: %w", err)
	}
	if s.self, err = unix.Open("/proc/self/fd", flags, 0); err != nil {
		return fmt.Errorf("open the descriptors' directory; mount proc: %w", err)
	}
	return nil
}

func (s *Supervisor) closeDirectories() {
	for _, fd := range []int{s.rootDir, s.self} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// A Target is whose calls a listener tells of, and what they are judged by.
type Target struct {
	// ID is the caller's, for denials.
	ID uint64
	// Owner is who sent the listener, for MaxPerOwner: any comparable value. Nil: nobody, and
	// only MaxListeners counts. It is held for as long as the listener is served.
	Owner any
	// Rules are those it begins with; nil denies everything.
	Rules *Rules
	// Continue are directories below which the thread opens for reading without this
	// package: absolute and clean paths. Only with Landlock on the thread; see the package's
	// documentation.
	Continue []string
}

// Add serves a listener, which it takes and closes, also when it fails: ErrNoListener when it
// is none, ErrUnsupported, ErrFull, ErrClosed.
func (s *Supervisor) Add(listener *os.File, t Target) (*Watched, error) {
	if err := s.reserve(t.Owner); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	w, err := s.watch(listener, t)
	if err != nil {
		s.release(t.Owner)
		return nil, err
	}
	go func() {
		defer s.release(t.Owner)
		w.serve()
		s.lock.Lock()
		delete(s.watched, w)
		s.past = s.past.plus(w.Counts())
		s.lock.Unlock()
	}()
	return w, nil
}

// reserve counts a listener, so that Close waits for it from here on.
func (s *Supervisor) reserve(owner any) error {
	if owner != nil && !reflect.ValueOf(owner).Comparable() {
		return fmt.Errorf("notify: an owner of type %T is not comparable", owner)
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.served >= s.options.MaxListeners:
		return fmt.Errorf("%w: there are %d", ErrFull, s.served)
	case owner != nil && s.owned[owner] >= s.options.MaxPerOwner:
		return fmt.Errorf("%w: one owner has %d", ErrFull, s.owned[owner])
	}
	s.served++
	if owner != nil {
		s.owned[owner]++
	}
	s.watchers.Add(1)
	return nil
}

func (s *Supervisor) release(owner any) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.served--
	if owner != nil {
		if s.owned[owner]--; s.owned[owner] == 0 {
			delete(s.owned, owner)
		}
	}
	s.watchers.Done()
}

func (s *Supervisor) watch(listener *os.File, t Target) (*Watched, error) {
	file, err := s.adopt(listener)
	if err != nil {
		return nil, err
	}
	w, err := newWatched(s, file, t)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.closed {
		return nil, errors.Join(ErrClosed, file.Close())
	}
	s.watched[w] = struct{}{}
	return w, nil
}

// Close ends the service: calls that wait, and later ones, fail with ENOSYS. It waits five
// seconds at most for calls that are worked on, and fails when one goes on.
func (s *Supervisor) Close() error {
	s.lock.Lock()
	already := s.closed
	s.closed = true
	for w := range s.watched {
		w.begone()
	}
	s.lock.Unlock()
	if already {
		return nil
	}
	over := make(chan struct{})
	go func() {
		s.watchers.Wait()
		s.closeDirectories() // which who is still at work uses
		close(over)
	}()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-over:
		return nil
	case <-late.C:
		return fmt.Errorf("notify: calls are still worked on after %s", closeWait)
	}
}

// enter takes a place to work in, and says whether there was one.
func (s *Supervisor) enter() bool {
	select {
	case s.places <- struct{}{}:
		return true
	default:
	}
	late := time.NewTimer(s.options.MaxWait)
	defer late.Stop()
	select {
	case s.places <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

func (s *Supervisor) leave() { <-s.places }
