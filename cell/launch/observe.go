package launch

import (
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// HostChange is the start of a host process, or its end.
type HostChange struct {
	Backend cell.Backend
	// PID is 0 where it could not be started; then Failed says why.
	PID    int
	Failed error
	// Ended is why it is no more, "" at its start. Reason is the same in words, with the end of
	// what the process wrote to its standard error, and Up how long it was there.
	Ended  HostEnd
	Reason string
	Up     time.Duration
}

// HostEnd is why a host process is no more.
type HostEnd string

const (
	// Closed by its launcher.
	Closed HostEnd = "closed"
	// Idle: it had no cell for Config.IdleTimeout.
	Idle HostEnd = "idle"
	// Retired: a cell could not be ended without it.
	Retired HostEnd = "retired"
	// Killed, since it did what no honest host does, or did not answer.
	Killed HostEnd = "killed"
	// Died by itself.
	Died HostEnd = "died"
)

const idleVerdict, closedVerdict = "was idle", "was closed by its node"

// ended is why a dead host is one.
func (h *hostproc) ended() HostEnd {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.verdict == idleVerdict:
		return Idle
	case h.verdict == closedVerdict:
		return Closed
	case h.verdict != "":
		return Killed
	case h.retiring:
		return Retired
	}
	return Died
}

func (l *Launcher) observeHost(c HostChange) {
	if l.config.Hosts != nil {
		l.config.Hosts(c)
	}
}

// Traffic counts what went over the channels to hosts since New: In is what they sent.
func (l *Launcher) Traffic() wire.Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := l.traffic
	for h := range l.hosts {
		sum = sum.Plus(h.proc.conn.Counts())
	}
	return l.totals.counts(sum)
}

// KernelUsage sums what the kernel has counted for cells since New, those that have ended
// included.
func (l *Launcher) KernelUsage() cell.KernelUsage {
	l.mu.Lock()
	sum := l.used
	l.mu.Unlock()
	for _, c := range l.residents() {
		if u := c.seated().kernelUsage(); u != nil {
			sum = plus(sum, *u)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals.usage(sum)
}

// Unreceived is how many items wait in the outboxes of cells that have not ended.
func (l *Launcher) Unreceived() (items int) {
	for _, c := range l.residents() {
		c.mu.Lock()
		items += len(c.outbox.items)
		c.mu.Unlock()
	}
	return items
}

// residents are the cells of all hosts.
func (l *Launcher) residents() (all []*handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for h := range l.hosts {
		all = append(all, h.residents()...)
	}
	return all
}

func (h *hostproc) residents() []*handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*handle, 0, len(h.cells))
	for _, c := range h.cells {
		out = append(out, c)
	}
	return out
}

// spent keeps what a cell has used, at its end.
func (l *Launcher) spent(u *cell.KernelUsage) {
	if u == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = plus(l.used, *u)
}

// Warm reports whether the cell found a worker ready, as far as its launcher knew.
func (c *handle) Warm() bool { return c.warm }

// totals are what was told last. What ends is for a moment in neither sum, and what is told does
// not fall: for who reads a counter, that would be a new one.
type totals struct {
	channels wire.Counts
	kernel   cell.KernelUsage
}

func (t *totals) counts(c wire.Counts) wire.Counts {
	t.channels = t.channels.Most(c)
	return t.channels
}

func (t *totals) usage(u cell.KernelUsage) cell.KernelUsage {
	k := &t.kernel
	k.CPU = max(k.CPU, u.CPU)
	k.Opens, k.Connects, k.Sent, k.Received = max(k.Opens, u.Opens), max(k.Connects, u.Connects), max(k.Sent, u.Sent), max(k.Received, u.Received)
	k.Children, k.Denied, k.Slowed = max(k.Children, u.Children), max(k.Denied, u.Denied), max(k.Slowed, u.Slowed)
	return *k
}

func plus(a, b cell.KernelUsage) cell.KernelUsage {
	return cell.KernelUsage{CPU: a.CPU + b.CPU, Opens: a.Opens + b.Opens, Connects: a.Connects + b.Connects, Sent: a.Sent + b.Sent,
		Received: a.Received + b.Received, Children: a.Children + b.Children, Denied: a.Denied + b.Denied, Slowed: a.Slowed + b.Slowed}
}
