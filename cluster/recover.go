package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// ErrAnswers: a node of the cluster that is to be recovered is there.
var ErrAnswers = errors.New("another node of the cluster answers")

// answerWithin is how long another node has to show that it is there.
const answerWithin = 3 * time.Second

// Survivor is a node that could go on when a majority is lost for ever.
type Survivor struct {
	Cluster, Node string
	// Others are the members that it knows, all of which would be none any more.
	Others []string
	// Term and Index are where its log of the directory ends: of two survivors the one of the higher term,
	// and then the higher index, has what was agreed later.
	Term, Index uint64
}

// Examine says what the member of dir, which does not run, would be in a recovery. It changes nothing. The
// error is ErrAnswers when another member does, and group.ErrNoVoter of a node that cannot recover the cluster.
func Examine(ctx context.Context, dir string) (s Survivor, err error) {
	identity, known, err := offline(dir)
	if err != nil {
		return s, err
	}
	s.Cluster, s.Node = identity.Cluster(), identity.Name()
	for _, m := range known.roster.Members() {
		switch {
		case m.Name != s.Node:
			s.Others = append(s.Others, m.Name)
		case m.Retired:
			return s, fmt.Errorf("%w any more: the cluster was about to remove node %s; recover another, or found a new cluster", group.ErrNoVoter, s.Node)
		}
	}
	if s.Term, s.Index, err = group.Position(filepath.Join(dir, groupDir), s.Node); err != nil {
		return s, err
	}
	if there := answering(ctx, identity, known); len(there) > 0 {
		return s, fmt.Errorf("%w: %v: if they are a majority, start this node, and all is well; else stop them", ErrAnswers, there)
	}
	return s, nil
}

// offline is what a node has on its disk. Without the authority it could let nobody in.
func offline(dir string) (*pki.Identity, known, error) {
	if _, err := readNote(dir); err != nil {
		return nil, known{}, err
	}
	identity, err := pki.LoadIdentity(filepath.Join(dir, identityFile))
	if err != nil {
		return nil, known{}, err
	}
	k, err := readRoster(dir)
	if err != nil {
		return nil, known{}, err
	}
	if _, err := pki.LoadAuthority(filepath.Join(dir, authorityFile)); err != nil {
		return nil, known{}, fmt.Errorf("the authority's key, which those who vote have: %w; recover the cluster on one of them, or bring the copy of %s back", err, authorityFile)
	}
	return identity, k, nil
}

// answering are the members that show their certificates at the addresses that are known of them.
func answering(ctx context.Context, identity *pki.Identity, k known) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, m := range k.roster.Members() {
		if m.Name == identity.Name() {
			continue
		}
		asking.Go(func() {
			if wire.Probe(ctx, identity, m.Name, m.Address) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			names = append(names, m.Name)
		})
	}
	asking.Wait()
	slices.Sort(names)
	return names
}

// Recovery is what became of a cluster.
type Recovery struct {
	Survivor
	// Suspended are the cells that go on by a checkpoint that this node has; Lost are the others.
	Suspended, Lost []directory.Record
}

// Recover makes the member of dir, which does not run, the only node of its cluster, which has lost its
// majority for ever. What its log has is agreed; what only others had is lost. All other members are removed:
// they can join again, with empty directories. What ran is ended or suspended, and whoever may still run a cell is in an
// epoch that is over. The errors are Examine's. When it fails half-way it can be done again.
func Recover(ctx context.Context, dir string) (r Recovery, err error) {
	if r.Survivor, err = Examine(ctx, dir); err != nil {
		return r, fmt.Errorf("recover the cluster of %s: %w", dir, err)
	}
	left, err := group.Recover(ctx, filepath.Join(dir, groupDir), r.Node)
	if err == nil {
		err = writeRoster(dir, known{left.Roster, left.Applied})
	}
	if err != nil {
		return r, fmt.Errorf("recover the cluster of %s: %w", dir, err)
	}
	for _, one := range left.Cells {
		if one.Checkpoint == "" {
			r.Lost = append(r.Lost, one)
		} else {
			r.Suspended = append(r.Suspended, one)
		}
	}
	return r, nil
}
