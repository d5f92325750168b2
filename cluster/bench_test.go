package cluster

import (
	"strconv"
	"testing"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
)

// BenchmarkForm is three nodes from nothing until they agree, hold leases and vote.
func BenchmarkForm(b *testing.B) {
	for b.Loop() {
		nodes := form(b, 3)
		b.StopTimer()
		for _, n := range nodes {
			n.kill()
		}
		b.StartTimer()
	}
}

// BenchmarkClaim is a name for a cell, agreed on by three nodes, at a node that does not lead and at
// the one that does.
func BenchmarkClaim(b *testing.B) {
	nodes := form(b, 3)
	leads := leader(b, nodes)
	follows := nodes[0]
	if follows == leads {
		follows = nodes[1]
	}
	for name, n := range map[string]*node{"leader": leads, "follower": follows} {
		b.Run(name, func(b *testing.B) {
			seat, _ := n.Lease().Seat()
			i := 0
			for b.Loop() {
				i++
				cell := directory.Cell{Tenant: "acme", Name: name + strconv.Itoa(i)}
				out, err := n.Group().Propose(soon(b), directory.Command{Op: directory.Claim, Cell: cell, Seat: seat})
				must(b, err)
				b.StopTimer()
				_, err = n.Group().Propose(soon(b), directory.Command{Op: directory.Release, Cell: cell, Seat: seat, Epoch: out.Record.Epoch})
				must(b, err)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkFailover is how long the others have no leader when the one they have ends without a word.
func BenchmarkFailover(b *testing.B) {
	nodes := form(b, 3)
	for b.Loop() {
		b.StopTimer()
		leads := leader(b, nodes)
		b.StartTimer()
		go leads.kill()
		await.That(b, "another leads", func() bool {
			for _, n := range nodes {
				if n != leads && n.group.Leading() {
					return true
				}
			}
			return false
		})
		b.StopTimer()
		for i, n := range nodes {
			if n == leads {
				await.That(b, "it has ended", func() bool { return n.wire.Stats().Open == 0 })
				await.That(b, "its session is over", func() bool { return leader(b, nodes).Group().Sessions()[n.name] == 0 })
				nodes[i] = n.again()
			}
		}
		settled(b, nodes, 3)
		b.StartTimer()
	}
}
