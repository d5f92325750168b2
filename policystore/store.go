package policystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/boottime"
	"github.com/pyisolate/pyisolate/internal/commitnews"
	"github.com/pyisolate/pyisolate/internal/turns"
	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

// What a data directory holds.
const (
	lockFile  = "LOCK"
	logFile   = "raft.db"
	stateFile = "state.db"
	snapDir   = "snapshots"
)

// snapshotsKept of which the older is there in case that the newer is damaged.
const snapshotsKept = 2

// Store is an open data directory. Its methods may be called from any goroutine.
type Store struct {
	config   Config
	lock     *dirLock
	log      *raftlog.Log
	state    *state
	raft     *raft.Raft
	news     *commitnews.Teller // nil when the node is by itself
	lead     leadership
	failures *failures    // of authentication
	jumps    *jumps       // of the clock
	pace     *pace        // of changes
	judging  *turns.Turns // of validations

	fresh    freshness
	renewing chan struct{} // has an element while a call of renew asks

	life    context.Context // ends when Close begins
	endLife context.CancelFunc
	end     sync.Once      // of Close
	endErr  error          // what Close returns
	calls   sync.WaitGroup // reads and proposals under way, follow, compact
	mu      sync.RWMutex   // held shared while a call joins calls
}

// Open opens or makes the store in c.Dir. A node by itself has then applied all that it
// ever acknowledged and accepts changes; one of several has started, and may lag or have no
// leader yet. ctx bounds the wait, not the store's life.
//
// It reads all of the files. Damage is a [*CorruptError]; a directory that another
// process has open is [ErrInUse].
func Open(ctx context.Context, c Config) (*Store, error) {
	return open(ctx, c, standardLimits)
}

func open(ctx context.Context, c Config, l limits) (*Store, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		config: c, failures: newFailures(c.Now), pace: newPace(c.Now), jumps: newJumps(c.Now(), boottime.Now),
		judging: turns.New(maxJudging), renewing: make(chan struct{}, 1),
	}
	s.life, s.endLife = context.WithCancel(context.Background())
	s.lead.init()
	if err := s.openFiles(l); err != nil {
		s.endLife()
		return nil, errors.Join(fmt.Errorf("open policy store %s: %w", c.Dir, err), s.closeFiles())
	}
	if err := s.start(); err != nil {
		s.endLife()
		return nil, errors.Join(fmt.Errorf("open policy store %s: %w", c.Dir, err), s.closeFiles())
	}
	s.calls.Add(2)
	go s.follow()
	go s.compact()
	if c.Cluster != nil {
		s.calls.Add(1)
		go s.keepFresh()
		return s, nil
	}
	if err := s.lead.wait(ctx, s.life.Done()); err != nil {
		return nil, errors.Join(fmt.Errorf("open policy store %s: %w", c.Dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) openFiles(l limits) (err error) {
	dir := s.config.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if s.lock, err = lockDir(filepath.Join(dir, lockFile)); err != nil {
		return err
	}
	if s.log, err = raftlog.Open(filepath.Join(dir, logFile)); err != nil {
		return corrupt(err)
	}
	s.state, err = openLazy(filepath.Join(dir, stateFile), l, func(why error) {
		s.config.Logger.Warn("the machine stopped while the state was written: it is made anew from the snapshots and the log", "error", why)
	})
	return err
}

// closeFiles closes what openFiles has opened.
func (s *Store) closeFiles() error {
	var errs []error
	if s.state != nil {
		errs = append(errs, s.state.close())
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}

// Close ends the store: watches and waiting calls return [ErrClosed]. It waits for all
// goroutines.
func (s *Store) Close() error {
	s.end.Do(func() {
		s.mu.Lock()
		s.endLife()
		s.mu.Unlock()
		err := s.raft.Shutdown().Error()
		if s.news != nil {
			s.news.Close()
		}
		s.calls.Wait()
		s.endErr = errors.Join(err, s.closeFiles())
	})
	return s.endErr
}

// join counts a call in, so that Close waits for it; the caller calls s.calls.Done.
func (s *Store) join() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	select {
	case <-s.life.Done():
		return fmt.Errorf("policy store %s: %w", s.config.Dir, ErrClosed)
	default:
	}
	s.calls.Add(1)
	return nil
}
