package host

import (
	"runtime"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// unending is a worker that goes on until it is killed.
type unending struct {
	dummy
	done chan struct{}
}

func (u unending) Kill()                 { close(u.done) }
func (u unending) Done() <-chan struct{} { return u.done }

// BenchmarkIdleGuest says what the host keeps in Go of an idle cell: its record, its
// goroutine and its ring's, without the ring.
func BenchmarkIdleGuest(b *testing.B) {
	const guests = 200
	for b.Loop() {
		srv := &server{conn: new(mute), cells: map[uint64]*guest{}}
		before := liveKiB()
		all := make([]*guest, 0, guests)
		for id := range uint64(guests) {
			region, err := ring.New(ring.Options{})
			if err != nil {
				b.Fatal(err)
			}
			g := newGuest(srv, wire.New(id, 1, nil, nil), &wire.Claim{}, cell.Limits{}.WithDefaults(),
				&slot{region: region, worker: unending{done: make(chan struct{})}})
			srv.guests.Add(1)
			g.start()
			all = append(all, g)
		}
		b.ReportMetric((liveKiB()-before)/guests, "KiB/cell")
		for _, g := range all {
			g.end(cell.Killed, "over")
		}
		srv.guests.Wait()
	}
}

func liveKiB() float64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return float64(s.HeapAlloc+s.StackInuse) / 1024
}
