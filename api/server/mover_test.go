package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

// sessionOf all nodes of a world, which never lose it but by die.
const sessionOf = 1

func (f *fabric) Seat(node string) (uint64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sessionOf, slices.Contains(f.nodes, node)
}

func (f *fabric) Via(string) actors.Via { return nil }

// agree changes the place of a cell that is in an epoch, if may says nothing against it.
func (f *fabric) agree(a actors.Address, epoch uint64, may func(server.Place) bool, change func(*server.Place)) (server.Place, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, known := f.places[a]
	if f.refuse != nil {
		if err := f.refuse(); err != nil {
			return p, err
		}
	}
	switch {
	case !known:
		return p, cell.Errorf(cell.CellGone, "there is no cell %s any more", a)
	case p.Epoch != epoch || !may(p):
		return p, fmt.Errorf("%w: %s is %s in epoch %d with node %s", policystore.ErrConflict, a, p.Phase, p.Epoch, p.Node)
	}
	change(&p)
	f.places[a] = p
	f.changed()
	return p, nil
}

// changed wakes who waits for news. mu is held.
func (w *world) changed() {
	if w.news != nil {
		close(w.news)
		w.news = nil
	}
}

// give makes a node the owner, in the next epoch.
func (w *world) give(p *server.Place, node string) {
	w.epoch = max(w.epoch, p.Epoch+1)
	p.Epoch, p.Node, p.Session, p.Phase, p.Target, p.Migration = p.Epoch+1, node, sessionOf, server.Active, "", ""
	if node == "" {
		p.Phase, p.Session = server.Suspended, 0
	}
}

func (f *fabric) BeginMove(_ context.Context, a actors.Address, epoch uint64, migration, to string, _ uint64) error {
	_, err := f.agree(a, epoch, func(p server.Place) bool { return p.Phase == server.Active && p.Node == f.self && to != f.self },
		func(p *server.Place) { p.Phase, p.Target, p.Migration = server.Preparing, to, migration })
	return err
}

func (f *fabric) Freeze(_ context.Context, a actors.Address, epoch uint64, checkpoint string, nodes []string) error {
	_, err := f.agree(a, epoch, func(p server.Place) bool {
		return p.Phase == server.Preparing && slices.Contains(nodes, p.Node) && slices.Contains(nodes, p.Target)
	}, func(p *server.Place) {
		p.Before, p.BeforeCopies = p.Checkpoint, p.Copies
		p.Phase, p.Checkpoint, p.Copies = server.Frozen, checkpoint, slices.Sorted(slices.Values(nodes))
	})
	return err
}

func (f *fabric) Save(_ context.Context, a actors.Address, epoch uint64, checkpoint string, nodes []string) error {
	_, err := f.agree(a, epoch, func(p server.Place) bool { return p.Phase == server.Active && p.Node == f.self },
		func(p *server.Place) {
			p.Checkpoint, p.Copies, p.Before, p.BeforeCopies = checkpoint, slices.Sorted(slices.Values(nodes)), "", nil
		})
	return err
}

func (f *fabric) Activate(_ context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	return f.agree(a, epoch, func(p server.Place) bool { return p.Phase == server.Frozen && p.Target == f.self },
		func(p *server.Place) { f.give(p, f.self) })
}

func (f *fabric) AbortMove(_ context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	p, err := f.agree(a, epoch, func(p server.Place) bool { return p.Phase == server.Preparing || p.Phase == server.Frozen },
		func(p *server.Place) {
			if p.Phase == server.Frozen {
				putBack(p)
			}
			f.give(p, p.Node)
		})
	if err != nil && p.Epoch > epoch { // it was decided before
		return p, nil
	}
	return p, err
}

func (f *fabric) Resume(_ context.Context, a actors.Address, epoch uint64, checkpoint string) error {
	_, err := f.agree(a, epoch, func(p server.Place) bool { return p.Node == f.self && p.Checkpoint == checkpoint }, putBack)
	return err
}

// putBack has what counted before a move count again.
func putBack(p *server.Place) {
	p.Checkpoint, p.Copies, p.Before, p.BeforeCopies = p.Before, p.BeforeCopies, "", nil
}

func (f *fabric) Yield(_ context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	return f.agree(a, epoch, func(p server.Place) bool { return p.Phase == server.Active && p.Node == f.self },
		func(p *server.Place) {
			heir := ""
			for _, node := range p.Copies {
				if node != f.self {
					heir = node
				}
			}
			if heir == "" {
				p.Lost = f.self
			}
			f.give(p, heir)
		})
}

func (f *fabric) Adopt(_ context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	return f.agree(a, epoch, func(p server.Place) bool { return p.Phase == server.Suspended && slices.Contains(p.Copies, f.self) },
		func(p *server.Place) { p.Lost = ""; f.give(p, f.self) })
}

func (f *fabric) Discard(_ context.Context, a actors.Address, epoch uint64) error {
	_, err := f.agree(a, epoch, func(p server.Place) bool { return p.Node == "" }, func(*server.Place) {})
	if errors.Is(err, cell.CellGone) {
		return nil
	}
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.places, a)
	}
	return err
}

func (f *fabric) DropCopy(_ context.Context, a actors.Address, epoch uint64, checkpoint string) error {
	p, known := f.Find(a)
	if !known || p.Checkpoint != checkpoint || !slices.Contains(p.Copies, f.self) {
		return nil
	}
	if p.Node == f.self || len(p.Copies) == 1 {
		return cell.Errorf(cell.Busy, "the copy of %s is needed", a)
	}
	_, err := f.agree(a, epoch, func(server.Place) bool { return true }, func(p *server.Place) {
		p.Before, p.BeforeCopies = "", nil
		p.Copies = slices.DeleteFunc(slices.Clone(p.Copies), func(node string) bool { return node == f.self })
	})
	return err
}

func (f *fabric) Hand(actors.Address) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hands++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.hands--
	}
}

func (f *fabric) Runs(a actors.Address) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ran == nil {
		f.ran = map[actors.Address]bool{}
	}
	f.ran[a] = true
}

func (f *fabric) Decided(ctx context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	for {
		f.mu.Lock()
		p, known := f.places[a]
		if f.news == nil {
			f.news = make(chan struct{})
		}
		news := f.news
		f.mu.Unlock()
		switch {
		case !known:
			return p, cell.Errorf(cell.CellGone, "there is no cell %s any more", a)
		case p.Epoch > epoch:
			return p, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return p, context.Cause(ctx)
		}
	}
}
