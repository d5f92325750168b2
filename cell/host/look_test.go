package host

import (
	"runtime"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/ring/ringtest"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// A guest that says much has the reader for so many frames, and not until it is done.
func TestLookIsBounded(t *testing.T) {
	region, err := ring.New(ring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = region.Free() }()
	peer, err := ringtest.Open(region)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = peer.Close() }()
	for range 10 * lookFrames {
		if err := peer.Send(ring.OutLog, 0, 7, []byte{1, 0, 0, 0, 1, 0, 0, 0, 'a', 'b'}); err != nil {
			t.Fatal(err)
		}
	}
	s := &server{conn: &mute{t: t}, cells: map[uint64]*guest{}}
	g := newGuest(s, wire.New(1, 1, nil, nil), &wire.Claim{Id: "c"}, cell.Limits{}.WithDefaults(), &slot{region: region, worker: dummy{}})
	g.current = &operation{id: 7}
	g.look(g.current)
	if got := g.count.Logs; got > lookFrames || got == 0 && runtime.GOMAXPROCS(0) > 1 {
		t.Errorf("%d frames were handled, want 1 to %d", got, lookFrames)
	}
}
