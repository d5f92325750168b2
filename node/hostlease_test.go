package node

import (
	"testing"
	"time"
)

type leaseTaker []time.Duration

func (l *leaseTaker) Lease(until time.Duration) { *l = append(*l, until) }

// No lease is lost between the start of the node and that of its launcher.
func TestTheLauncherHasTheLastLease(t *testing.T) {
	var h hostLease
	var got leaseTaker
	h.set(1)
	h.set(2)
	h.begin(&got)
	h.set(3)
	if len(got) != 2 || got[0] != 2 || got[1] != 3 {
		t.Errorf("it was told %v", got)
	}
}
