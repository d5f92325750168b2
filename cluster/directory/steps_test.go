package directory

import "fmt"

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
			to.faulty = true
			to.settle(m)
			out = append(out, edge{what, to, true})
		}
	}
	w.operator(m, add)
	w.arrivals(m, add)
	w.talk(m, add)
	for n := range modelNodes {
		w.lease(n, m, add, fault)
		w.pauses(n, m, add, fault)
		if w.nodes[n].up && !w.nodes[n].paused {
			w.runs(n, m, add)
			w.moves(n, m, add)
			w.copying(n, m, add)
		}
	}
	return out
}

// operator has owners begin migrations, one after the other, and gives them up.
func (w *world) operator(m mutation, add func(string, world)) {
	if w.phase == Active && w.epoch < w.left.epochs && w.nodes[w.owner].held == 0 {
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
	case kindFreeze, kindYield, kindResume:
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
		if w.left.sessions > 0 && !me.paused {
			if next, ok := w.apply(Command{Op: Open, Seat: Seat{Node: names[n]}}, m); ok {
				next.nodes[n].session, next.nodes[n].run, next.nodes[n].froze, next.nodes[n].held = next.sessions[n], 0, 0, 0
				next.hangUp(n)
				add(fmt.Sprint("open session of ", n), next)
			}
		}
	}
	ending := w.sent(proposal{kind: kindEnd, node: uint8(n), at: w.sessions[n]})
	if !me.lease && !me.paused && me.session != 0 && me.session == w.sessions[n] && (!ending || m.grantLate) {
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
	t.nodes[n] = place{session: me.session, disk: me.disk, lease: me.lease && m.oldSession}
	t.hangUp(n)
	fault(fmt.Sprint("crash ", n), t)
	if !me.lease {
		return
	}
	t = *w
	t.nodes[n].lease = false
	switch {
	case me.paused: // its hosts end what runs, and what was stopped stays so
		if !m.hostsStay {
			t.nodes[n].run = 0
		}
		t.hangUp(n)
		add(fmt.Sprint("lease lapses of paused ", n), t)
	default:
		if !m.goOn {
			t.nodes[n].run, t.nodes[n].held = 0, 0
		}
		t.hangUp(n)
		fault(fmt.Sprint("lease lapses ", n), t)
	}
}

// pauses are of a node's process, also after it has looked whether it may start a guest, and before it does.
func (w *world) pauses(n int, m mutation, add, fault func(string, world)) {
	me, t := w.nodes[n], *w
	switch {
	case !me.up:
	case !me.paused:
		t.nodes[n].paused = true
		fault(fmt.Sprint("pause ", n), t)
		for _, e := range w.starts(n, m) {
			t.nodes[n].sure = e
			fault(fmt.Sprintf("pause %d about to start in %d", n, e), t)
		}
	default:
		t.nodes[n].paused, t.nodes[n].sure = false, 0
		if me.sure != 0 && (me.lease || m.deaf) { // a host whose time is over ends at once
			t.start(n, me.sure, m)
		}
		if !me.lease && !m.deaf {
			t.nodes[n].run, t.nodes[n].held = 0, 0
		}
		add(fmt.Sprint("continue ", n), t)
	}
}

// starts are the epochs that a node can start a guest in, which may know an old record.
func (w *world) starts(n int, m mutation) (all []uint8) {
	me := w.nodes[n]
	if me.run != 0 || !me.lease || me.session == 0 {
		return nil
	}
	for e := uint8(1); e <= w.epoch; e++ {
		mine := w.was[e] == seat{uint8(n), me.session} && (me.froze < e || m.thaw)
		runnable := w.phase == Active || w.phase == Prepare || e < w.epoch
		if mine && runnable && (w.resumes(n, e, m) || w.has(n, w.checkpoint) || e < w.epoch) {
			all = append(all, e)
		}
	}
	return all
}

// resumes says whether the guest that a node holds may go on in an epoch of the node's.
func (w *world) resumes(n int, e uint8, m mutation) bool {
	held := w.nodes[n].held
	switch {
	case held == 0 || m.restoreOld:
		return false
	case m.thawAny:
		return true
	}
	return e == held+1 || e == w.epoch && w.checkpoint == held
}

// start has the guest that is held go on, or another one restored. Of a move that came to nothing the state is
// removed, if it does not count; where it does, the node says that it need not.
func (w *world) start(n int, e uint8, m mutation) {
	me := &w.nodes[n]
	switch resumed := w.resumes(n, e, m); {
	case resumed && me.held == w.checkpoint && w.before.there:
		w.send(proposal{kind: kindResume, node: uint8(n), at: e})
	case resumed && (me.held != w.checkpoint || m.removeMoves) && (!w.before.there || me.held != w.before.checkpoint):
		me.disk &^= 1 << me.held
	}
	if !w.resumes(n, e, m) {
		me.guest = w.sealed[w.checkpoint]
		me.guest.seen = me.guest.seen && !m.forget
	}
	me.run, me.held = e, 0
}

// runs are the starts and ends of the guest at a node.
func (w *world) runs(n int, m mutation, add func(string, world)) {
	me := w.nodes[n]
	for _, e := range w.starts(n, m) {
		t := *w
		t.start(n, e, m)
		add(fmt.Sprintf("start at %d in %d", n, e), t)
	}
	own := me.session != 0 && seatOf(int8(n), me.session) == seatOf(w.owner, w.ownerSession)
	t := *w
	switch {
	case me.run != 0 && !own:
		t.nodes[n].run = 0
		t.hangUp(n)
		add(fmt.Sprint("fenced ", n), t)
	case me.run != 0 && me.run != w.epoch:
		t.nodes[n].run = w.epoch
		add(fmt.Sprintf("%d goes on in %d", n, w.epoch), t)
	case me.held != 0 && me.held < w.epoch && !own:
		t.nodes[n].held = 0
		add(fmt.Sprint("collect at ", n), t)
	}
}

// moves are a node's part in a migration.
func (w *world) moves(n int, m mutation, add func(string, world)) {
	me := w.nodes[n]
	own := seatOf(int8(n), me.session)
	source := w.phase == Prepare && own == seatOf(w.owner, w.ownerSession)
	if source && me.run == w.epoch && me.lease { // it stops the guest, and writes what it was
		t := *w
		t.nodes[n].run, t.nodes[n].froze, t.nodes[n].held = 0, w.epoch, w.epoch
		t.sealed[w.epoch] = me.guest
		t.nodes[n].disk |= 1 << w.epoch
		add(fmt.Sprint("seal ", n), t)
	}
	if source && me.froze == w.epoch && w.has(n, w.epoch) && w.target >= 0 {
		to := int(w.target)
		if w.nodes[to].up && !w.nodes[to].paused && !w.has(to, w.epoch) {
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
	if w.phase == Active && own == seatOf(w.owner, w.ownerSession) && me.run == 0 && me.froze < w.epoch && w.left.yields > 0 && !w.resumes(n, w.epoch, m) {
		t := *w
		t.send(proposal{kind: kindYield, node: uint8(n), at: w.epoch})
		t.left.yields--
		if !m.yieldOn {
			t.nodes[n].froze = w.epoch
		}
		add(fmt.Sprint("ask to yield ", n), t)
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
		if m.unpinBefore && w.before.there && c == w.before.checkpoint && w.has(n, c) {
			t := *w
			t.nodes[n].disk &^= 1 << c
			add(fmt.Sprintf("remove %d, which counted before, at %d", c, n), t)
		}
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
