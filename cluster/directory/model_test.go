package directory

import (
	"flag"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The model has one cell on three nodes that crash, come back, are cut off, and hear late of
// what was decided; and proposals that arrive late, twice or never. What the log makes of them
// is decided by State. It visits every state that can be reached within its budgets.
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
	froze   uint8 // the last epoch whose guest it has stopped for good
	disk    uint8 // a bit for each checkpoint
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
	flight        [6]uint64           // proposals that may arrive, once or again
	left          budget
	opened        uint8
}

// budget bounds what happens.
type budget struct {
	faults, sessions uint8 // crashes and cuts; sessions beside the first of each node
	epochs           uint8 // that migrations begin in
	copies           uint8 // changes of who has copies
}

// Budgets of a quick, the usual and a long look: 71 thousand, 781 thousand and 2.3 million
// states.
var (
	few      = budget{faults: 1, sessions: 1, epochs: 3, copies: 1}
	standard = budget{faults: 2, sessions: 1, epochs: 3, copies: 1}
	many     = budget{faults: 2, sessions: 1, epochs: 3, copies: 2}

	long = flag.Bool("long", false, "visit more states of the model, which takes half a minute and 4 GiB")
)

type seat struct{ node, session uint8 }

// mutation breaks one rule of the protocol.
type mutation struct {
	name string
	// What it does otherwise.
	startEarly, removeUndropped, sameEpoch, endEarly, goOn, grantLate, thaw, anyRevision, oldSession bool
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

// state is the directory of w.
func (w *world) state() *State {
	s := &State{cells: map[Cell]*Record{}, of: map[string]int{"t": 1}, sessions: map[string]uint64{}, epoch: uint64(w.epoch)}
	r := &Record{Cell: modelCell, Epoch: uint64(w.epoch), Revision: uint64(w.revision), Phase: w.phase,
		Owner: seatOf(w.owner, w.ownerSession), Target: seatOf(w.target, w.targetSession), Checkpoint: strconv.Itoa(int(w.checkpoint))}
	for n := range modelNodes {
		if w.copies&(1<<n) != 0 {
			r.Copies = append(r.Copies, names[n])
		}
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
	w.checkpoint, w.copies = uint8(c), 0
	for n := range modelNodes {
		w.sessions[n] = uint8(s.sessions[names[n]])
		if r.Holds(names[n]) {
			w.copies |= 1 << n
		}
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
	case kindCopy:
		c.Op, c.Epoch, c.Revision, c.Checkpoint = Copy, uint64(w.epoch), uint64(p.at), strconv.Itoa(int(w.checkpoint))
	case kindDrop:
		c.Op, c.Epoch, c.Revision = Drop, uint64(w.epoch), uint64(p.at)
	}
	return c
}

// settle leaves out what makes no difference any more: proposals that the log refuses now
// and, for epochs and revisions only rise, for ever; checkpoints that cannot count; and
// who owned an epoch, when he knows of a later one.
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
			if c != w.checkpoint {
				w.nodes[n].disk &^= 1 << c
			}
		}
	}
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

// steps are all that can happen next.
func (w *world) steps(m mutation) (out []edge) {
	add := func(what string, to world) {
		to.settle(m)
		if to != *w {
			out = append(out, edge{what, to, false})
		}
	}
	fault := func(what string, to world) {
		if w.left.faults > 0 {
			to.left.faults--
			to.settle(m)
			out = append(out, edge{what, to, true})
		}
	}
	w.operator(m, add)
	w.arrivals(m, add)
	for n := range modelNodes {
		w.lease(n, m, add, fault)
		if w.nodes[n].up {
			w.runs(n, m, add)
			w.moves(n, m, add)
			w.copying(n, m, add)
		}
	}
	return out
}

// operator begins migrations, and gives them up.
func (w *world) operator(m mutation, add func(string, world)) {
	if w.phase == Active && w.epoch < w.left.epochs {
		for n := range int8(modelNodes) {
			if next, ok := w.apply(Command{Op: Begin, Epoch: uint64(w.epoch), Seat: seatOf(n, w.sessions[n]), Request: "m"}, m); ok {
				add(fmt.Sprint("begin to ", n), next)
			}
		}
	}
	if w.phase == Prepare || w.phase == Frozen {
		t := *w
		t.send(proposal{kind: kindAbort, at: w.epoch})
		add("ask for abort", t)
	}
}

// arrivals are proposals that the log takes now. They may arrive again.
func (w *world) arrivals(m mutation, add func(string, world)) {
	w.each(func(p proposal) {
		if next, changes := w.apply(w.command(p), m); changes {
			add(fmt.Sprintf("log: %s of %d at %d", w.command(p).Op, p.node, p.at), next)
		}
	})
}

// sessionOf is the session that a proposal was made in: which of a node's is told by its epoch,
// of an end by at.
func (w *world) sessionOf(p proposal) uint8 {
	switch p.kind {
	case kindEnd:
		return p.at
	case kindFreeze:
		return w.was[p.at].session
	}
	return w.sessions[p.node]
}

// lease is about a node's life and its right to run.
func (w *world) lease(n int, m mutation, add, fault func(string, world)) {
	me, t := w.nodes[n], *w
	if !me.up {
		t.nodes[n].up = true
		if !m.oldSession {
			t.nodes[n].session = 0
		}
		add(fmt.Sprint("restart ", n), t)
		return
	}
	if me.session == 0 || me.session != w.sessions[n] {
		if w.left.sessions > 0 {
			if next, ok := w.apply(Command{Op: Open, Seat: Seat{Node: names[n]}}, m); ok {
				next.nodes[n].session, next.nodes[n].run, next.nodes[n].froze = next.sessions[n], 0, 0
				add(fmt.Sprint("open session of ", n), next)
			}
		}
	}
	ending := w.sent(proposal{kind: kindEnd, node: uint8(n), at: w.sessions[n]})
	if !me.lease && me.session != 0 && me.session == w.sessions[n] && (!ending || m.grantLate) {
		t = *w
		t.nodes[n].lease = true
		add(fmt.Sprint("lease for ", n), t)
	}
	if w.sessions[n] != 0 && (!me.lease || me.session != w.sessions[n] || m.endEarly) && !ending {
		t = *w
		t.send(proposal{kind: kindEnd, node: uint8(n), at: w.sessions[n]})
		add(fmt.Sprint("leader: end session of ", n), t)
	}
	if ending && w.sessions[n] != 0 { // the leader is another before it was agreed
		t = *w
		t.unsend(proposal{kind: kindEnd, node: uint8(n), at: w.sessions[n]})
		add(fmt.Sprint("leader: end forgotten ", n), t)
	}
	t = *w
	t.nodes[n].up, t.nodes[n].run, t.nodes[n].lease, t.nodes[n].froze = false, 0, false, 0
	if m.oldSession {
		t.nodes[n].lease = me.lease
	}
	fault(fmt.Sprint("crash ", n), t)
	if me.lease {
		t = *w
		t.nodes[n].lease = false
		if !m.goOn {
			t.nodes[n].run = 0
		}
		fault(fmt.Sprint("lease lapses ", n), t)
	}
}

// runs are the starts and ends of the guest at a node, which may know an old record.
func (w *world) runs(n int, m mutation, add func(string, world)) {
	me := w.nodes[n]
	mine := func(e uint8) bool {
		return w.was[e] == seat{uint8(n), me.session} && me.session != 0 && (me.froze < e || m.thaw)
	}
	if me.run == 0 && me.lease {
		for e := uint8(1); e <= w.epoch; e++ {
			runnable := w.phase == Active || w.phase == Prepare || e < w.epoch
			if mine(e) && runnable && (w.has(n, w.checkpoint) || e < w.epoch) {
				t := *w
				t.nodes[n].run = e
				add(fmt.Sprintf("start at %d in %d", n, e), t)
			}
		}
	}
	if me.run != 0 && (me.run != w.epoch || int(w.owner) != n) {
		t := *w
		t.nodes[n].run = 0
		add(fmt.Sprint("fenced ", n), t)
	}
}

// moves are a node's part in a migration.
func (w *world) moves(n int, m mutation, add func(string, world)) {
	me := w.nodes[n]
	own := seatOf(int8(n), me.session)
	source := w.phase == Prepare && own == seatOf(w.owner, w.ownerSession)
	if source && me.run == w.epoch && me.lease { // it stops the guest, and writes what it was
		t := *w
		t.nodes[n].run, t.nodes[n].froze = 0, w.epoch
		t.nodes[n].disk |= 1 << w.epoch
		add(fmt.Sprint("seal ", n), t)
	}
	if source && me.froze == w.epoch && w.has(n, w.epoch) && w.target >= 0 {
		to := int(w.target)
		if w.nodes[to].up && !w.has(to, w.epoch) {
			t := *w
			t.nodes[to].disk |= 1 << w.epoch
			add("copy to target", t)
		}
		if w.has(to, w.epoch) {
			t := *w
			t.send(proposal{kind: kindFreeze, node: uint8(n), at: w.epoch})
			add("ask for freeze", t)
		}
	}
	if w.phase == Frozen && own == seatOf(w.target, w.targetSession) && w.has(n, w.checkpoint) {
		t := *w
		t.send(proposal{kind: kindActivate, node: uint8(n), at: w.epoch})
		if m.startEarly && me.lease && me.run == 0 {
			t.nodes[n].run = w.epoch + 1
		}
		add("ask for activate", t)
	}
	if w.phase == Suspended && own == seatOf(int8(n), w.sessions[n]) && me.session != 0 && w.has(n, w.checkpoint) {
		t := *w
		t.send(proposal{kind: kindAdopt, node: uint8(n), at: w.epoch})
		add(fmt.Sprint("ask to adopt ", n), t)
	}
}

// copying is about checkpoints on a node's disk.
func (w *world) copying(n int, m mutation, add func(string, world)) {
	me, listed := w.nodes[n], w.copies&(1<<n) != 0
	for c := range uint8(mostEpoch + 1) {
		asked := w.sent(proposal{kind: kindCopy, node: uint8(n), at: w.revision}) // and may be listed yet
		dropped := c == w.checkpoint && !listed && !asked && c < w.epoch
		if w.has(n, c) && me.run == 0 && (dropped || m.removeUndropped && c == w.checkpoint && int(w.owner) != n) {
			t := *w
			t.nodes[n].disk &^= 1 << c
			add(fmt.Sprintf("remove %d at %d", c, n), t)
		}
	}
	if w.left.copies == 0 || w.phase != Active {
		return
	}
	switch {
	case int(w.owner) != n && (listed || w.sent(proposal{kind: kindCopy, node: uint8(n), at: w.revision})) && !w.sent(proposal{kind: kindDrop, node: uint8(n), at: w.revision}):
		t := *w
		t.send(proposal{kind: kindDrop, node: uint8(n), at: w.revision})
		t.left.copies--
		add(fmt.Sprint("ask for drop ", n), t)
	case !listed && w.has(n, w.checkpoint):
		t := *w
		t.send(proposal{kind: kindCopy, node: uint8(n), at: w.revision})
		t.left.copies--
		add(fmt.Sprint("ask for copy ", n), t)
	case !listed && w.owner >= 0 && w.nodes[w.owner].up && w.has(int(w.owner), w.checkpoint):
		t := *w
		t.nodes[n].disk |= 1 << w.checkpoint
		add(fmt.Sprint("replicate to ", n), t)
	}
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
	}
	if running > 1 {
		return "two run"
	}
	if w.copies == 0 {
		return "the checkpoint is lost"
	}
	return ""
}

// visited is a state and how it was come to.
type visited struct {
	from int32
	by   string
}

// explore visits all states and returns how many, and the way to one that is broken or that
// no way leads out of.
func explore(m mutation, b budget) (count int, bad string) {
	first := firstWorld()
	first.left = b
	ids := map[world]int32{first: 0}
	list, trail, back := []world{first}, []visited{{-1, ""}}, [][]int32{nil}
	way := func(i int32) string {
		var steps []string
		for ; i > 0; i = trail[i].from {
			steps = append(steps, trail[i].by)
		}
		slices.Reverse(steps)
		return strings.Join(steps, "; ")
	}
	for i := 0; i < len(list); i++ {
		w := list[i]
		if len(list) > mostStates {
			return len(list), "there are more states than memory is meant for"
		}
		if why := w.broken(); why != "" {
			return len(list), why + ": " + way(int32(i))
		}
		for _, e := range w.steps(m) {
			j, known := ids[e.to]
			if !known {
				j = int32(len(list))
				ids[e.to] = j
				list, trail, back = append(list, e.to), append(trail, visited{int32(i), e.what}), append(back, nil)
			}
			if !e.fault {
				back[j] = append(back[j], int32(i))
			}
		}
	}
	if i := stuck(list, back); i >= 0 {
		return len(list), "stuck: " + way(i)
	}
	return len(list), ""
}

// stuck finds a state from which, without more faults, the cell cannot run in its epoch.
func stuck(list []world, back [][]int32) int32 {
	good, queue := make([]bool, len(list)), []int32(nil)
	for i := range list {
		w := &list[i]
		if w.phase == Active && w.nodes[w.owner].run == w.epoch {
			good[i] = true
			queue = append(queue, int32(i))
		}
	}
	for len(queue) > 0 {
		j := queue[0]
		queue = queue[1:]
		for _, i := range back[j] {
			if !good[i] {
				good[i] = true
				queue = append(queue, i)
			}
		}
	}
	for i := range list {
		w := &list[i]
		if !good[i] && w.epoch < mostEpoch-1 && w.left.sessions > 0 {
			return int32(i)
		}
	}
	return -1
}

func TestModel(t *testing.T) {
	b := standard
	switch {
	case *long:
		b = many
	case testing.Short():
		b = few
	}
	n, bad := explore(mutation{}, b)
	t.Logf("%d states", n)
	if bad != "" {
		t.Error(bad)
	}
}

// A model that finds nothing when a rule is broken proves nothing.
func TestModelFindsFaults(t *testing.T) {
	for _, m := range []mutation{
		{name: "the target starts before it is agreed", startEarly: true},
		{name: "a copy is removed that was not dropped", removeUndropped: true},
		{name: "an abort keeps the epoch", sameEpoch: true},
		{name: "a session is ended while its lease lasts", endEarly: true},
		{name: "a guest goes on without a lease", goOn: true},
		{name: "a lease is renewed while its end is proposed", grantLate: true},
		{name: "a guest that was stopped for good is started again", thaw: true},
		{name: "a change of copies counts in any revision", anyRevision: true},
		{name: "a node comes back with its old session and lease", oldSession: true},
	} {
		t.Run(m.name, func(t *testing.T) {
			n, bad := explore(m, standard)
			t.Logf("%d states; %s", n, bad)
			if bad == "" {
				t.Error("nothing is found")
			}
		})
	}
}
