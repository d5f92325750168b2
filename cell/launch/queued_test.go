package launch_test

import (
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// The wall time of an operation is counted from when the ones before it have ended: a host is not given up for
// those that wait in a cell.
func TestManyWaitWithinTheirWallTime(t *testing.T) {
	l := launcher(t, launch.Config{KillGrace: 100 * time.Millisecond, AnswerGrace: 900 * time.Millisecond})
	c := spawn(t, l, cell.Spec{Limits: cell.Limits{Wall: 2 * time.Second}})
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if err := run(c, "recv 0.4"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
