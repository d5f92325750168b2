package directory

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
)

// The model has one cell on three nodes that crash, come back, are cut off, are stopped in the middle of
// what they do, and hear late of what was decided; proposals that arrive late, twice or never; and a
// message to the cell, which its sender repeats when the answer was lost. What the log makes of
// proposals is decided by State. It visits every state that can be reached within its budgets.
const (
	modelNodes = 3
	mostEpoch  = 5
	// mostAt is above all epochs, revisions and sessions.
	mostAt     = 16
	mostStates = 3_000_000
)

// place is a node as it sees itself.
type place struct {
	up      bool
	session uint8 // that it has opened; 0: none since it came up
	lease   bool  // it may run what is its
	run     uint8 // the epoch that it runs; 0: nothing
	froze   uint8 // the last epoch that it runs nothing in any more
	held    uint8 // the epoch of a guest that it has stopped, and can have go on; 0: none
	disk    uint8 // a bit for each checkpoint
	paused  bool  // its process is stopped; its hosts are not
	sure    uint8 // the epoch that it starts when it goes on, without another look
	guest   mind  // of what runs or is held
}

// mind is what a cell knows of the message.
type mind struct {
	done uint8 // how often, 2 at most
	seen bool  // it would be answered without being done again
}

// world is a state of the model. Checkpoints are named by the epoch that they were made in.
type world struct {
	phase         Phase
	epoch         uint8
	revision      uint8
	owner, target int8
	ownerSession  uint8
	targetSession uint8
	checkpoint    uint8
	copies        uint8
	sessions      [modelNodes]uint8
	nodes         [modelNodes]place
	was           [mostEpoch + 1]seat // who owned an epoch, for nodes that hear late
	flight        [7]uint64           // proposals that may arrive, once or again
	left          budget
	opened        uint8
	yielded       uint8
	before        last                // what counts again if the source goes on
	sealed        [mostEpoch + 1]mind // in checkpoints
	message       message
	faulty        bool // something has failed
}

// last is a checkpoint that counted.
type last struct {
	there           bool
	checkpoint      uint8
	copies, yielded uint8
}

// message on its way.
type message struct {
	queue    uint8 // nodes whose actors have it
	sent     bool
	answered bool
	unsure   bool // the answer was lost: it is sent again
}

// budget bounds what happens.
type budget struct {
	faults, sessions uint8 // crashes and cuts; sessions beside the first of each node
	epochs           uint8 // that migrations begin in
	copies           uint8 // changes of who has copies
	yields           uint8
	messages         uint8
}

type seat struct{ node, session uint8 }

// mutation breaks one rule of the protocol.
type mutation struct {
	name string
	// What it does otherwise.
	startEarly, removeUndropped, sameEpoch, endEarly, goOn, grantLate, thaw, anyRevision, oldSession bool
	hostsStay, deaf, restoreOld, thawAny, forget, loseHeld, goOnSealed, yieldOn                      bool
	forgetBefore, unpinBefore, removeMoves                                                           bool
}

// Kinds of proposals, each a row of flight.
const (
	kindFreeze = iota
	kindActivate
	kindAbort
	kindEnd
	kindAdopt
	kindCopy
	kindDrop
	kindYield
	kindResume
)

// proposal names one: by the epoch, for copies by the revision.
type proposal struct {
	kind, node, session, at uint8
}

// bit of a proposal, whose session is told by the rest.
func (p proposal) bit() (word int, mask uint64) {
	n := (int(p.kind)*modelNodes+int(p.node))*mostAt + int(p.at)
	return n / 64, 1 << (n % 64)
}

func (w *world) sent(p proposal) bool { word, mask := p.bit(); return w.flight[word]&mask != 0 }
func (w *world) send(p proposal)      { word, mask := p.bit(); w.flight[word] |= mask }
func (w *world) unsend(p proposal)    { word, mask := p.bit(); w.flight[word] &^= mask }
func (w *world) has(n int, c uint8) bool {
	return w.nodes[n].disk&(1<<c) != 0
}

var (
	modelCell = Cell{"t", "c"}
	names     = [modelNodes]string{"0", "1", "2"}
)

func seatOf(node int8, session uint8) Seat {
	if node < 0 {
		return Seat{}
	}
	return Seat{names[node], uint64(session)}
}

// namesOf are the nodes whose bits are set.
func namesOf(set uint8) (all []string) {
	for n := range modelNodes {
		if set&(1<<n) != 0 {
			all = append(all, names[n])
		}
	}
	return all
}

// bitsOf is the other way round.
func bitsOf(all []string) (set uint8) {
	for _, name := range all {
		set |= 1 << slices.Index(names[:], name)
	}
	return set
}

// state is the directory of w.
func (w *world) state() *State {
	s := &State{cells: map[Cell]*Record{}, of: map[string]int{"t": 1}, sessions: map[string]uint64{}, epoch: uint64(w.epoch)}
	r := &Record{Cell: modelCell, Epoch: uint64(w.epoch), Revision: uint64(w.revision), Phase: w.phase,
		Owner: seatOf(w.owner, w.ownerSession), Target: seatOf(w.target, w.targetSession), Checkpoint: strconv.Itoa(int(w.checkpoint))}
	r.Copies, r.Yielded = namesOf(w.copies), namesOf(w.yielded)
	if b := w.before; b.there {
		r.Before = &Saved{strconv.Itoa(int(b.checkpoint)), namesOf(b.copies), namesOf(b.yielded)}
	}
	for n := range modelNodes {
		if w.sessions[n] != 0 {
			s.sessions[names[n]] = uint64(w.sessions[n])
		}
	}
	s.cells[modelCell] = r
	return s
}

func (w *world) read(s *State) {
	r := s.cells[modelCell]
	read := func(x Seat) (int8, uint8) {
		if x == (Seat{}) {
			return -1, 0
		}
		return int8(slices.Index(names[:], x.Node)), uint8(x.Session)
	}
	w.phase, w.epoch, w.revision = r.Phase, uint8(r.Epoch), uint8(r.Revision)
	w.owner, w.ownerSession = read(r.Owner)
	w.target, w.targetSession = read(r.Target)
	c, _ := strconv.Atoi(r.Checkpoint)
	w.checkpoint, w.copies, w.yielded, w.before = uint8(c), bitsOf(r.Copies), bitsOf(r.Yielded), last{}
	if b := r.Before; b != nil {
		c, _ := strconv.Atoi(b.Checkpoint)
		w.before = last{true, uint8(c), bitsOf(b.Copies), bitsOf(b.Yielded)}
	}
	for n := range modelNodes {
		w.sessions[n] = uint8(s.sessions[names[n]])
	}
	if w.owner >= 0 {
		w.was[w.epoch] = seat{uint8(w.owner), w.ownerSession}
	}
}

// apply has the log do a command; false when that changes nothing.
func (w *world) apply(c Command, m mutation) (world, bool) {
	next, s := *w, w.state()
	index := uint64(0)
	if c.Op == Open {
		next.opened++
		next.left.sessions--
		index = uint64(1 + next.opened) // the first are 1
	} else {
		c.Cell = modelCell
	}
	c.Remember = c.Op == Freeze && !m.forgetBefore
	if m.anyRevision {
		c.Revision = uint64(w.revision)
	}
	if _, err := s.Apply(index, c); err != nil {
		return next, false
	}
	if r := s.cells[modelCell]; m.sameEpoch && c.Op == Abort {
		r.Epoch--
	}
	if s.cells[modelCell].Epoch > mostEpoch || s.cells[modelCell].Revision >= mostAt {
		return next, false
	}
	next.read(s)
	return next, next != *w
}

func (w *world) command(p proposal) Command {
	c := Command{Seat: seatOf(int8(p.node), p.session), Epoch: uint64(p.at)}
	switch p.kind {
	case kindFreeze:
		c.Op, c.Checkpoint, c.Nodes = Freeze, strconv.Itoa(int(p.at)), []string{names[p.node]}
		if w.target >= 0 {
			c.Nodes = append(c.Nodes, names[w.target])
		}
	case kindActivate:
		c.Op = Activate
	case kindAbort:
		c.Op = Abort
	case kindEnd:
		c.Op, c.Epoch = End, 0
	case kindAdopt:
		c.Op = Adopt
	case kindYield:
		c.Op = Yield
	case kindResume:
		c.Op, c.Checkpoint = Resume, strconv.Itoa(int(w.checkpoint))
	case kindCopy:
		c.Op, c.Epoch, c.Revision, c.Checkpoint = Copy, uint64(w.epoch), uint64(p.at), strconv.Itoa(int(w.checkpoint))
	case kindDrop:
		c.Op, c.Epoch, c.Revision = Drop, uint64(w.epoch), uint64(p.at)
	}
	return c
}

// settle leaves out what makes no difference any more: proposals that the log refuses now
// and, for epochs and revisions only rise, for ever; checkpoints that cannot count; who owned an epoch,
// when he knows of a later one; and what guests knew that are no more.
func (w *world) settle(m mutation) {
	w.each(func(p proposal) {
		current := w.epoch
		switch p.kind {
		case kindCopy, kindDrop:
			current = w.revision
		case kindEnd:
			current = w.sessions[p.node]
		}
		if p.at < current || p.kind == kindEnd && p.at != current {
			if _, changes := w.apply(w.command(p), m); !changes {
				w.unsend(p)
			}
		}
	})
	for e := range w.epoch {
		if n := w.was[e].node; w.nodes[n].session != w.was[e].session || w.nodes[n].froze >= e {
			w.was[e] = seat{}
		}
	}
	for n := range w.nodes {
		for c := range w.epoch {
			if !w.counts(c) {
				w.nodes[n].disk &^= 1 << c
			}
		}
		if w.nodes[n].run == 0 && w.nodes[n].held == 0 {
			w.nodes[n].guest = mind{}
		}
	}
	for c := range w.epoch {
		if !w.counts(c) {
			w.sealed[c] = mind{}
		}
	}
}

// counts says whether a checkpoint counts, or may again.
func (w *world) counts(c uint8) bool {
	return c == w.checkpoint || w.before.there && c == w.before.checkpoint
}

// each proposal that may arrive.
func (w *world) each(do func(proposal)) {
	for word, set := range w.flight {
		for ; set != 0; set &= set - 1 {
			n := word*64 + bits.TrailingZeros64(set)
			p := proposal{kind: uint8(n / mostAt / modelNodes), node: uint8(n / mostAt % modelNodes), at: uint8(n % mostAt)}
			p.session = w.sessionOf(p)
			do(p)
		}
	}
}

type edge struct {
	what  string
	to    world
	fault bool
}

func firstWorld() world {
	w := world{phase: Active, epoch: 1, owner: 0, ownerSession: 1, target: -1, copies: 0b101, sessions: [modelNodes]uint8{1, 1, 1}}
	for n := range w.nodes {
		w.nodes[n] = place{up: true, session: 1, lease: true}
	}
	w.nodes[0].disk, w.nodes[2].disk = 1, 1
	w.was[1] = seat{0, 1}
	return w
}

// broken says what is wrong with a state.
func (w *world) broken() string {
	running := 0
	for n := range modelNodes {
		if w.nodes[n].run != 0 {
			running++
		}
		if w.copies&(1<<n) != 0 && !w.has(n, w.checkpoint) {
			return fmt.Sprintf("node %d has not the copy that the directory lists", n)
		}
		if w.before.copies&(1<<n) != 0 && !w.has(n, w.before.checkpoint) {
			return fmt.Sprintf("node %d has not the copy that counted before the move", n)
		}
	}
	if running > 1 {
		return "two run"
	}
	if w.copies == 0 {
		return "the checkpoint is lost"
	}
	if !w.faulty { // a crash may take what was done since the last checkpoint
		return w.message.broken(w)
	}
	return ""
}
