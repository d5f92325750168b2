package cluster

import (
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/internal/await"
)

// Who invites while the leader dies is not left in doubt whether it was done.
func TestInviteWhileTheLeaderDies(t *testing.T) {
	t.Parallel()
	nodes := form(t, 3)
	leads := leader(t, nodes)
	by := nodes[0]
	if by == leads {
		by = nodes[1]
	}
	var inviting sync.WaitGroup
	stop := make(chan struct{})
	begun := make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	for range 4 {
		inviting.Go(func() {
			for {
				_, v, err := by.Invite(soon(t), "", 0)
				if err == nil {
					err = by.Withdraw(soon(t), v.ID)
				}
				if err != nil {
					t.Error(err)
					return
				}
				once()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	<-begun
	leads.kill()
	await.That(t, "another leads", func() bool { return by.group.Leader() != "" && by.group.Leader() != leads.name })
	close(stop)
	inviting.Wait()
}
