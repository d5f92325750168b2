package enforce

import (
	"context"
	"time"
)

// recheck is how often to look whether the tasks of closed seats have gone: nobody tells.
const recheck = 20 * time.Millisecond

// leave keeps a closed seat until its task has gone.
func (e *Enforcer) leave(s *Seat) {
	e.mu.Lock()
	e.left = append(e.left, s)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// collect gives seats back until ctx ends: beside those who close them, since a group or a file
// system may make it wait.
func (e *Enforcer) collect(ctx context.Context) {
	tick := time.NewTimer(recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-tick.C:
		}
		if e.giveBack() > 0 {
			tick.Reset(recheck)
		}
	}
}

// giveBack begins to release the seats whose tasks are gone, and returns how many are left. One
// whose watch or group takes its time holds up no other.
func (e *Enforcer) giveBack() (left int) {
	e.mu.Lock()
	seats := e.left
	e.left = nil
	e.mu.Unlock()
	var stay []*Seat
	for _, s := range seats {
		if s.task.alive(s.host) {
			stay = append(stay, s)
		} else {
			e.running.Go(func() { _ = s.release() }) // a group that is not empty is swept with the tree
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.left = append(e.left, stay...)
	return len(e.left)
}
