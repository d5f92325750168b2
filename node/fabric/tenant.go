package fabric

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/internal/boottime"
	"github.com/pyisolate/pyisolate/internal/pause"
)

var (
	_ group.Tenant  = (*Fabric)(nil)
	_ group.Renewer = (*Fabric)(nil)
)

// cutOff is what became of cells whose node has lost its lease.
const cutOff = "its node was cut off from the cluster"

// Renewed implements group.Renewer.
func (f *Fabric) Renewed(until time.Duration) { f.config.Node.Lease(until) }

// Opened implements group.Tenant.
func (f *Fabric) Opened(s directory.Seat) {
	f.logger.Info("this node may run cells", "session", s.Session)
	c := f.at()
	if c == nil {
		return
	}
	for _, r := range c.Group().Records("") { // it can have got some before it knew its session
		if r.Owner == s {
			f.spawn(func() { f.inherit(addressOf(r.Cell), r) })
		}
		f.resume(r, true)
	}
}

// resume has a suspended cell go on here, in the background, if this node has a copy of its checkpoint. Others
// that have one may be faster. Where it has failed before it is tried once more in each session.
func (f *Fabric) resume(r directory.Record, try bool) {
	if !try || r.Phase != directory.Suspended || !r.Holds(f.Self()) {
		return
	}
	a := addressOf(r.Cell)
	if !f.takesUp(a, r.Epoch) {
		return
	}
	f.spawn(func() {
		defer f.tookUp(a, r.Epoch)
		f.outlive(a)
		if _, err := f.Adopt(f.life, a, r.Epoch); err != nil {
			f.logger.Debug("a suspended cell is not taken up", "cell", a.String(), "epoch", r.Epoch, "error", err)
			return
		}
		f.mu.Lock()
		now := f.owned[a]
		ours := now.Epoch == r.Epoch+1
		if ours {
			f.arrives[a] = true // also when the hand of Adopt is gone
		}
		f.mu.Unlock()
		if ours {
			f.begin(a, now)
		}
	})
}

// takesUp says whether a suspended cell is to be taken up: it is said by a change and with a new session, and who
// hears both would begin it twice.
func (f *Fabric) takesUp(a actors.Address, epoch uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if has, ours := f.owned[a]; f.resumes[a] >= epoch || ours && has.Epoch > epoch {
		return false
	}
	f.resumes[a] = epoch
	return true
}

// tookUp says that it has been tried to take a cell up.
func (f *Fabric) tookUp(a actors.Address, epoch uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resumes[a] == epoch {
		delete(f.resumes, a)
	}
}

// Lapsed implements group.Tenant: no guest runs when it returns, or hosts end them by themselves.
func (f *Fabric) Lapsed(s directory.Seat) {
	f.lapses.Add(1)
	ctx, cancel := context.WithTimeout(context.Background(), f.config.Margin)
	defer cancel()
	f.config.Node.Lease(boottime.Now()) // hosts that hear it end at once
	f.mu.Lock()
	for a, has := range f.owned {
		if has.Owner == s {
			delete(f.owned, a)
			delete(f.arrives, a)
		}
	}
	f.mu.Unlock()
	f.tell()
	f.giveUp(f.names.List(""), cutOff)
	if err := f.config.Node.Kill(ctx, cutOff); err != nil {
		f.logger.Error("guests had not all ended when the lease was over", "session", s.Session, "error", err)
	}
}

// Lapses is how often the node has lost its lease, the end of its last one included.
func (f *Fabric) Lapses() uint64 { return f.lapses.Load() }

// giveUp has the actors of cells end them for good. It does not wait.
func (f *Fabric) giveUp(cells []actors.Address, reason string) {
	system := f.system.Load()
	if system == nil {
		return
	}
	for _, a := range cells {
		if e, here := f.names.local.Lookup(a); here {
			system.KillEntry(a, e, reason)
		}
	}
}

// Changed is for the cluster's records that have changed, and does not block.
func (f *Fabric) Changed(records []directory.Record) {
	c := f.at()
	if c == nil {
		return // it has no cells
	}
	self := c.Self()
	for _, r := range records {
		f.noteLost(r)
		f.resume(r, !slices.Contains(r.Yielded, self))
		a := addressOf(r.Cell)
		_, here := f.names.local.Lookup(a)
		switch {
		case f.handed(a): // catchUp sees to it
		case r.Owner.Node == self && r.Checkpoint != "" && f.unheard(a, func() {}):
			f.spawn(func() { f.inherit(a, r) })
		case r.Owner.Node != self && here:
			f.spawn(func() { f.overrun(a, r) })
		}
	}
	f.tell()
}

// overrun ends what this node still has of a cell that is not its own any more.
func (f *Fabric) overrun(a actors.Address, r directory.Record) {
	if f.handed(a) {
		return
	}
	if r.Epoch > 0 {
		f.fence(a, r)
		return
	}
	f.mu.Lock()
	has, ours := f.owned[a]
	f.mu.Unlock()
	if ours { // else it was given back
		f.missing(a, has)
	}
}

// caughtUp waits until this node knows all that was agreed when it was called; false: the node ends.
func (f *Fabric) caughtUp() bool {
	for next := firstPause; f.Refresh(f.life) != nil; next = min(2*next, lastPause) {
		if !pause.For(f.life, next) {
			return false
		}
	}
	return true
}

// missing ends what this node still has of a cell whose record is gone. That may have been an earlier
// record of the name: what was agreed when this one was, or later, says so.
func (f *Fabric) missing(a actors.Address, has directory.Record) {
	if !f.caughtUp() {
		return
	}
	if _, known := f.at().Group().Find(has.Cell); known { // what another has of it, fence has heard of
		return
	}
	f.mu.Lock()
	now, ours := f.owned[a]
	ours = ours && now.Epoch == has.Epoch
	if ours {
		delete(f.owned, a)
	}
	f.mu.Unlock()
	if ours {
		f.logger.Warn("a cell of this node is nobody's any more: it is ended", "cell", a.String(), "epoch", has.Epoch)
		f.giveUp([]actors.Address{a}, "its name was given up by others")
	}
}

// fence ends what this node still has of a cell that became another's, or nobody's.
func (f *Fabric) fence(a actors.Address, r directory.Record) {
	f.mu.Lock()
	has, ours := f.owned[a]
	if ours && has.Epoch < r.Epoch {
		delete(f.owned, a)
	}
	f.mu.Unlock()
	if ours && has.Epoch >= r.Epoch {
		return // it came late
	}
	switch {
	case ours:
		f.logger.Warn("a cell of this node is not its own any more: it is ended", "cell", a.String(), "node", r.Owner.Node, "epoch", r.Epoch)
		f.giveUp([]actors.Address{a}, fmt.Sprintf("it is in epoch %d now, elsewhere", r.Epoch))
	case r.Owner.Node != "": // what has ended tells nobody any more; what is being started has a claim of its own to make
		f.forget(a)
	}
}

// noteLost remembers since when a record has had no node, and no checkpoint: with one the cell goes on some day, or
// somebody closes it.
func (f *Fabric) noteLost(r directory.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := addressOf(r.Cell)
	if r.Phase != directory.Suspended || r.Checkpoint != "" {
		delete(f.lost, a)
		return
	}
	if old, known := f.lost[a]; !known || old.epoch != r.Epoch {
		f.lost[a] = suspendedSince{r.Epoch, time.Now()}
	}
}

// sweep removes old records whose nodes are gone, and of which no state is left, where this node leads.
func (f *Fabric) sweep() {
	tick := time.NewTicker(max(f.config.Keep/60, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-f.life.Done():
			return
		case <-tick.C:
		}
		c := f.at()
		if c.Group().Leader() != c.Self() {
			continue
		}
		for a, l := range f.old() {
			ctx, cancel := context.WithTimeout(f.life, 5*time.Second)
			if err := f.release(ctx, cellOf(a), directory.Seat{}, l.epoch); err != nil {
				f.logger.Debug("an old record stays", "cell", a.String(), "error", err)
			}
			cancel()
		}
	}
}

func (f *Fabric) old() map[actors.Address]suspendedSince {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[actors.Address]suspendedSince{}
	for a, l := range f.lost {
		if time.Since(l.since) > f.config.Keep {
			all[a] = l
		}
	}
	return all
}
