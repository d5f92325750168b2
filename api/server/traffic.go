package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// calmFor is how long nothing is asked or answered before clients have all that was for them: package http tells
	// that an answer is written when it has yet to flush it.
	calmFor = 100 * time.Millisecond
	// calmLook is how often it is looked whether something is.
	calmLook = calmFor / 10
)

// traffic knows the connections on which something is asked or answered, wherever they come from.
type traffic struct {
	mu     sync.Mutex
	active map[net.Conn]struct{}
}

func newTraffic() *traffic { return &traffic{active: map[net.Conn]struct{}{}} }

// changed is http.Server's ConnState. A connection that is new has asked for nothing yet.
func (t *traffic) changed(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if state == http.StateActive {
		t.active[c] = struct{}{}
	} else {
		delete(t.active, c)
	}
}

func (t *traffic) calm() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.active) == 0
}

// settle returns when there has been none for calmFor, or ctx has ended.
func (t *traffic) settle(ctx context.Context) {
	look := time.NewTicker(calmLook)
	defer look.Stop()
	for still := time.Duration(0); still < calmFor; still += calmLook {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if !t.calm() {
			still = -calmLook
		}
	}
}
