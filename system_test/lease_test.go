package systemtest

import (
	"errors"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/boottime"
)

// Guests end with the node's lease, also those that nobody could interrupt.
func TestLeaseEndsGuests(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		ended := make(chan error, 1)
		go func() { ended <- c.Exec(soon(t), cell.Source{Code: []byte("sum(range(10**12))")}) }()
		l.Lease(boottime.Now() + time.Second)
		if err := <-ended; !errors.Is(err, cell.CellGone) {
			t.Errorf("the guest ends with %v", err)
		}
		l.Lease(0)
		alive(t, spawn(t, l, cell.Spec{Backend: b}))
	})
}
