package server_test

import (
	"testing"

	"github.com/pyisolate/pyisolate/api/server"
)

// A guest that was stopped goes on only where nothing can have run since that would be lost.
func TestWhatResumes(t *testing.T) {
	before := server.Place{Node: "n1", Session: 1, Epoch: 4, Claim: "r", Phase: server.Active}
	for _, c := range []struct {
		name       string
		change     func(*server.Place)
		checkpoint string
		want       bool
	}{
		{"it has not begun", func(*server.Place) {}, "", true},
		{"it was aborted", func(p *server.Place) { p.Epoch = 5 }, "", true},
		{"it was aborted, with an older checkpoint", func(p *server.Place) { p.Epoch, p.Checkpoint = 5, "old" }, "c", true},
		{"the target has yielded it", func(p *server.Place) { p.Epoch, p.Checkpoint = 6, "c" }, "c", true},
		{"the target ran it and has saved it", func(p *server.Place) { p.Epoch, p.Checkpoint = 6, "new" }, "c", false},
		{"others had it, and there is no checkpoint", func(p *server.Place) { p.Epoch = 6 }, "", false},
		{"it is frozen", func(p *server.Place) { p.Phase = server.Frozen }, "c", false},
		{"it is suspended", func(p *server.Place) { p.Node, p.Session, p.Epoch, p.Phase = "", 0, 5, server.Suspended }, "c", false},
		{"it is elsewhere", func(p *server.Place) { p.Node, p.Epoch, p.Checkpoint = "n2", 5, "c" }, "c", false},
		{"it is this node's of a later session", func(p *server.Place) { p.Session, p.Epoch, p.Checkpoint = 2, 5, "c" }, "c", false},
		{"it is another of the name", func(p *server.Place) { p.Claim, p.Epoch = "s", 5 }, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := before
			c.change(&now)
			if got := now.Resumes(before, c.checkpoint); got != c.want {
				t.Errorf("at %+v: %v", now, got)
			}
		})
	}
}
