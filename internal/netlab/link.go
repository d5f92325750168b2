package netlab

import (
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// room is how many packets a link holds that are on their way; what exceeds it is lost, as in a
// router.
const room = 4096

// Condition is how a link is. The zero value is a good one.
type Condition struct {
	// Cut: nothing arrives, also of what is on its way.
	Cut bool
	// Delay of each packet, and up to Jitter more. Packets do not overtake each other.
	Delay, Jitter time.Duration
	// Loss and Repeat are how likely a packet is lost, and comes twice: 0 to 1.
	Loss, Repeat float64
}

// Traffic is what a link was given.
type Traffic struct {
	// Packets and Bytes of them that were sent, and how many packets of them did not arrive.
	Packets, Bytes, Dropped uint64
}

// link carries packets from one host to another.
type link struct {
	to        *os.File
	chance    *rand.Rand // of the one goroutine that gives
	condition atomic.Pointer[Condition]
	queue     chan parcel
	queued    atomic.Int64 // in queue, or taken from it and not yet delivered
	end       chan struct{}

	packets, bytes, dropped atomic.Uint64
}

type parcel struct {
	packet []byte
	due    time.Time
}

func newLink(to *os.File, seed, number uint64) *link {
	chance := rand.New(rand.NewPCG(seed, number)) //nolint:gosec // chance that can be had again, and no secret
	l := &link{to: to, chance: chance, queue: make(chan parcel, room), end: make(chan struct{})}
	l.condition.Store(&Condition{})
	return l
}

// give sends a packet on its way; it keeps nothing of it. It is called by one goroutine.
func (l *link) give(packet []byte) {
	c := *l.condition.Load()
	l.packets.Add(1)
	l.bytes.Add(uint64(len(packet)))
	if c.Cut || c.Loss > 0 && l.chance.Float64() < c.Loss {
		l.dropped.Add(1)
		return
	}
	times := 1
	if c.Repeat > 0 && l.chance.Float64() < c.Repeat {
		times = 2
	}
	for range times {
		wait := c.Delay
		if c.Jitter > 0 {
			wait += time.Duration(l.chance.Int64N(int64(c.Jitter)))
		}
		if wait == 0 && l.queued.Load() == 0 {
			l.deliver(packet)
			continue
		}
		l.queued.Add(1)
		select {
		case l.queue <- parcel{slices.Clone(packet), time.Now().Add(wait)}:
		default:
			l.queued.Add(-1)
			l.dropped.Add(1)
		}
	}
}

// run delivers what waits, until the end.
func (l *link) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.end:
			return
		case p := <-l.queue:
			timer.Reset(time.Until(p.due))
			select {
			case <-l.end:
				return
			case <-timer.C:
			}
			l.deliver(p.packet)
			l.queued.Add(-1)
		}
	}
}

// deliver puts a packet into the other host's device, unless the link was cut meanwhile.
func (l *link) deliver(packet []byte) {
	if !l.condition.Load().Cut {
		if _, err := l.to.Write(packet); err == nil {
			return
		}
	}
	l.dropped.Add(1)
}
