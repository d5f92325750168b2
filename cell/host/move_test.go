package host_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host/hosttest"
	"github.com/pyisolate/pyisolate/cell/wire"
)

func save() wire.Body    { return &wire.Control_Save{Save: &wire.Save{}} }
func restore() wire.Body { return &wire.Control_Restore{Restore: &wire.Restore{}} }
func thaw() wire.Body    { return &wire.Control_Thaw{Thaw: &wire.Thaw{}} }

func withdraw() wire.Body {
	return &wire.Control_Interrupt{Interrupt: &wire.Interrupt{Kind: uint32(cell.Cancelled)}}
}

func more(n int) wire.Body {
	return &wire.Control_More{More: &wire.More{Chunks: uint32(n)}}
}

func chunk(c *wire.Chunk) wire.Body { return &wire.Control_Chunk{Chunk: c} }

// chunks counts those that have come, in order, before the answer to an inspection.
func (n *node) chunks(id uint64) (seen []byte) {
	n.t.Helper()
	n.report(id)
	rest := n.seen[:0]
	for _, m := range n.seen {
		if m.GetChunk() == nil {
			rest = append(rest, m)
			continue
		}
		seen = append(seen, m.Payload...)
	}
	n.seen = rest
	return seen
}

// A state leaves as fast as the node gives credit, its inbox behind it, and the cell is frozen
// until the thaw.
func TestSaveGoesByCredit(t *testing.T) {
	n := serve(t, 0)
	n.claim(1, cell.Limits{})
	n.send(1, 2, &wire.Control_Send{Send: &wire.Send{}}, `"in"`)
	if err := n.outcome(1, 2); err != nil {
		t.Fatal(err)
	}
	n.send(1, 3, save(), "")
	n.runs(1, 4, 0, "post 1")
	var got []byte
	for len(got) < wire.ChunkWindow {
		got = append(got, n.chunks(1)...)
	}
	if more := n.chunks(1); len(got)+len(more) != wire.ChunkWindow {
		t.Errorf("%d chunks came without credit", len(got)+len(more))
	}
	for len(got) < hosttest.Chunks+len(`"in"`) {
		n.send(1, 3, more(1), "")
		got = append(got, n.chunks(1)...)
	}
	for i, b := range got[:hosttest.Chunks] {
		if int(b) != i {
			t.Fatalf("chunk %d is %d", i, b)
		}
	}
	if inbox := string(got[hosttest.Chunks:]); inbox != `"in"` {
		t.Errorf("the inbox is %s", inbox)
	}
	saved := n.await("saved", func(m *wire.Msg) bool { return m.Op == 3 }).GetSaved()
	if saved.GetPython() != "fake" || saved.GetObjects() != 1 {
		t.Errorf("saved: %v", saved)
	}

	n.send(1, 5, save(), "")
	if err := n.outcome(1, 5); !errors.Is(err, cell.Invalid) {
		t.Errorf("a second save: %v", err)
	}
	n.send(1, 6, &wire.Control_Send{Send: &wire.Send{}}, "2")
	if err := n.outcome(1, 6); !errors.Is(err, cell.Busy) {
		t.Errorf("a send: %v", err)
	}
	for _, m := range n.seen {
		if m.Op == 4 || m.GetPost() != nil {
			t.Errorf("a frozen cell has run: %v", m)
		}
	}
	n.send(1, 7, thaw(), "")
	if err := errors.Join(n.outcome(1, 7), n.outcome(1, 4)); err != nil {
		t.Errorf("after the thaw: %v", err)
	}
}

// A save that is withdrawn leaves the cell, also when the guest is long in giving it up.
func TestSaveIsWithdrawn(t *testing.T) {
	for name, heeds := range map[string]time.Duration{"at once": 0, "late": 2 * killGrace} {
		t.Run(name, func(t *testing.T) {
			n := serveWith(t, 0, killGrace, patient)
			n.exec.SaveHeeds.Store(int64(heeds))
			n.claim(1, cell.Limits{})
			n.send(1, 2, save(), "") // without credit it stays where it is
			n.await("a chunk", func(m *wire.Msg) bool { return m.GetChunk() != nil })
			n.send(1, 2, withdraw(), "")
			if err := n.outcome(1, 2); !errors.Is(err, cell.Cancelled) {
				t.Errorf("the save: %v", err)
			}
			n.runs(1, 3, 0, "post 1")
			if err := n.outcome(1, 3); err != nil {
				t.Errorf("the cell after it: %v", err)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	n := serve(t, 0)
	n.claim(1, cell.Limits{QueueItems: 4})
	n.send(1, 2, restore(), "")
	n.await("credit", func(m *wire.Msg) bool { return m.GetMore().GetChunks() == wire.ChunkWindow })
	n.send(1, 3, &wire.Control_Send{Send: &wire.Send{}}, "1")
	if err := n.outcome(1, 3); !errors.Is(err, cell.Busy) {
		t.Errorf("a send: %v", err)
	}
	n.send(1, 2, chunk(&wire.Chunk{}), "a")
	n.send(1, 2, chunk(&wire.Chunk{Kind: wire.Chunk_CODE}), "b")
	n.send(1, 9, chunk(&wire.Chunk{}), "of something else")
	n.send(1, 2, chunk(&wire.Chunk{Kind: wire.Chunk_INBOX}), "7")
	n.send(1, 2, chunk(&wire.Chunk{Last: true, Counters: &wire.Report{Posts: 5}}), "")
	if err := n.outcome(1, 2); err != nil {
		t.Fatal(err)
	}
	if m := n.await("a post", func(m *wire.Msg) bool { return m.GetPost() != nil }); string(m.Payload) != `"ab!"` {
		t.Errorf("the cell was given %s", m.Payload)
	}
	if r := n.report(1); r.Posts != 6 {
		t.Errorf("%d posts are counted", r.Posts)
	}
	n.runs(1, 4, 0, "recv 0")
	if m := n.await("the inbox", func(m *wire.Msg) bool { return m.GetPost() != nil }); string(m.Payload) != "7" {
		t.Errorf("the inbox gave %s", m.Payload)
	}
	n.send(1, 5, restore(), "")
	if err := n.outcome(1, 5); !errors.Is(err, cell.Invalid) {
		t.Errorf("a second restore: %v", err)
	}
}

// A restore that fails once it has begun ends its cell, by whatever it fails.
func TestRestoreFails(t *testing.T) {
	inbox := chunk(&wire.Chunk{Kind: wire.Chunk_INBOX})
	for name, tc := range map[string]struct {
		send func(n *node)
		want string
	}{
		"in the cell":    {func(n *node) { n.send(1, 2, chunk(&wire.Chunk{}), "bad") }, "a bad chunk"},
		"too much inbox": {func(n *node) { n.send(1, 2, inbox, "1"); n.send(1, 2, inbox, "2"); n.send(1, 2, inbox, "3") }, "more than the 1 items"},
		"withdrawn":      {func(n *node) { n.send(1, 2, withdraw(), "") }, "Cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			n := serveWith(t, 0, killGrace, patient)
			n.claim(1, cell.Limits{QueueItems: 1})
			n.send(1, 2, restore(), "")
			n.await("credit", func(m *wire.Msg) bool { return m.GetMore() != nil })
			tc.send(n)
			if err := n.outcome(1, 2); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the restore: %v", err)
			}
			if e := n.ended(1); e.State != string(cell.Killed) || !strings.Contains(e.Reason, tc.want) {
				t.Errorf("ended %s: %s", e.State, e.Reason)
			}
		})
	}
}

// One that is withdrawn before its cell has a worker leaves the cell as fresh as it was.
func TestRestoreIsWithdrawnEarly(t *testing.T) {
	n := serve(t, 0)
	n.exec.Hold()
	n.send(1, 1, &wire.Control_Claim{Claim: &wire.Claim{Id: "c1", Limits: wire.FromLimits(cell.Limits{}.WithDefaults())}}, "")
	n.send(1, 2, restore(), "")
	n.send(1, 2, withdraw(), "")
	err := n.outcome(1, 2)
	n.exec.Release()
	if !errors.Is(err, cell.Cancelled) {
		t.Errorf("the restore: %v", err)
	}
	n.send(1, 3, restore(), "")
	n.send(1, 3, chunk(&wire.Chunk{Last: true}), "")
	if err := n.outcome(1, 3); err != nil {
		t.Errorf("the restore after it: %v", err)
	}
}

func TestStateThatNobodyAskedFor(t *testing.T) {
	for _, line := range []string{"chunk x", "more"} {
		n := serve(t, 0)
		n.claim(1, cell.Limits{})
		n.runs(1, 2, 0, line)
		if e := n.ended(1); e.State != string(cell.Crashed) {
			t.Errorf("%s: ended %s: %s", line, e.State, e.Reason)
		}
	}
}
