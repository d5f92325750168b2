package directory

import "fmt"

// talk is a sender's part, and that of the actors that have its message.
func (w *world) talk(m mutation, add func(string, world)) {
	if o := w.owner; o >= 0 && (w.left.messages > 0 || w.message.unsure) && w.nodes[o].up && !w.nodes[o].paused {
		t := *w
		t.left.messages = 0
		t.message = message{queue: 1 << o, sent: true}
		add(fmt.Sprint("message to ", o), t)
	}
	for n := range modelNodes {
		me := w.nodes[n]
		if w.message.queue&(1<<n) == 0 || !me.up || me.paused {
			continue
		}
		t := *w
		t.message.queue = 0
		moved := w.owner >= 0 && int(w.owner) != n && (w.phase == Active || w.phase == Prepare)
		switch {
		case me.run != 0 && me.lease, me.held != 0 && m.goOnSealed:
			t.nodes[n].guest.take()
			t.message.answered = true
			add(fmt.Sprint("message answered by ", n), t)
			t.message.answered, t.message.unsure = false, true
			add(fmt.Sprint("answer lost of ", n), t)
		case moved && me.run == 0:
			if !m.loseHeld {
				t.message.queue = 1 << w.owner
			}
			add(fmt.Sprint("message handed on by ", n), t)
		}
	}
}

// take does the message, if it was not done.
func (k *mind) take() {
	if !k.seen {
		k.done = min(k.done+1, 2)
	}
	k.seen = true
}

// hangUp is the end of a cell at a node: who waits for an answer there asks again.
func (w *world) hangUp(n int) {
	if w.message.queue&(1<<n) != 0 {
		w.message.queue, w.message.unsure = 0, true
	}
}

// broken says what is wrong as long as nothing has failed.
func (k message) broken(w *world) string {
	runs := w.owner >= 0 && w.nodes[w.owner].run == w.epoch
	switch {
	case runs && w.nodes[w.owner].guest.done > 1:
		return "the message is done twice"
	case runs && k.answered && w.nodes[w.owner].guest.done == 0:
		return "what was answered is lost"
	case k.sent && k.queue == 0 && !k.answered && !k.unsure:
		return "a message is lost that was held"
	}
	return ""
}
