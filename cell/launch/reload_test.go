package launch_test

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// A host is given as long as the limit of now allows, not that of when it was asked.
func TestRaisedWallIsWaitedFor(t *testing.T) {
	// The wall is as long as the reload may be on its way, and the guest goes on beyond it and both graces.
	l := launcher(t, launch.Config{KillGrace: 100 * time.Millisecond, AnswerGrace: 2 * time.Second})
	c := spawn(t, l, cell.Spec{Limits: cell.Limits{Wall: 3 * time.Second}})
	ended := make(chan error, 1)
	go func() { ended <- run(c, "post 1\nrecv 6") }()
	if _, err := c.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(t.Context(), cell.Revision{Limits: &cell.Limits{Wall: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A guest that waits for credit is given what a shorter queue has room for.
func TestShorterQueue(t *testing.T) {
	l := launcher(t, launch.Config{})
	c := spawn(t, l, cell.Spec{Limits: cell.Limits{QueueItems: 10}})
	if err := run(c, "flood 4"); err != nil {
		t.Fatal(err)
	}
	received(t, c, 4) // too few to be worth a message
	r, err := c.Reload(t.Context(), cell.Revision{Limits: &cell.Limits{QueueItems: 1}})
	if err != nil || len(r.NewCell()) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run(c, "flood 20") }()
	received(t, c, 20)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, bad := range []cell.Revision{{Limits: &cell.Limits{Memory: 1}}, {Imports: []string{"not a module"}}} {
		if _, err := c.Reload(t.Context(), bad); cell.KindOf(err) != cell.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
