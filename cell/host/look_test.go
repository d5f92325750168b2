package host

import (
	"runtime"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/ring/ringtest"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// looked is a guest of no worker, with an operation that runs, and the cell's end of its ring.
func looked(t *testing.T) (*guest, *ringtest.Peer) {
	t.Helper()
	region, err := ring.New(ring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ringtest.Open(region)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = region.Free(), peer.Close() })
	s := &server{conn: &mute{t: t}, cells: map[uint64]*guest{}}
	g := newGuest(s, wire.New(1, 1, nil, nil), &wire.Claim{Id: "c"}, cell.Limits{}.WithDefaults(), &slot{region: region, worker: dummy{}})
	g.current = &operation{id: 7}
	return g, peer
}

// A guest that says much has the reader for so many frames, and not until it is done.
func TestLookIsBounded(t *testing.T) {
	g, peer := looked(t)
	for range 10 * lookFrames {
		if err := peer.Send(ring.OutLog, 0, 7, []byte{1, 0, 0, 0, 1, 0, 0, 0, 'a', 'b'}); err != nil {
			t.Fatal(err)
		}
	}
	g.look(g.current)
	if got := g.count.Logs; got > lookFrames || got == 0 && runtime.GOMAXPROCS(0) > 1 {
		t.Errorf("%d frames were handled, want 1 to %d", got, lookFrames)
	}
}

// Nor does one have it that begins to say something and does not go on.
func TestLookDoesNotWaitForHalfAFrame(t *testing.T) {
	g, peer := looked(t)
	if err := peer.Write(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { g.look(g.current); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("the reader waits for a guest")
		g.slot.region.Close()
		<-done
	}
}
