package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/policystore"
)

// An alarm that goes off while what it was set for has ended does not end what it is set for next.
func TestAnAlarmRingsForItsOwn(t *testing.T) {
	var rang atomic.Int32
	a := alarm{end: func(time.Time) error { rang.Add(1); return nil }}
	defer a.over()
	a.arm(time.Hour)
	a.ring() // of before, which has waited for the mutex
	if rang.Load() > 0 {
		t.Error("it has an hour, and is over at once")
	}
	a.disarm()
	a.ring()
	if rang.Load() > 0 {
		t.Error("it is not set, and rings")
	}
	a.arm(-time.Hour)
	a.ring()
	if rang.Load() == 0 {
		t.Error("its time is over, and it does not ring")
	}
}

// Writing to a client that takes nothing ends, and with one that is only slow it goes on.
func TestPatient(t *testing.T) {
	for name, second := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			given := make(chan error, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
				w := newPatient(plain, r, 2*time.Second)
				defer w.close()
				var err error
				for piece := make([]byte, 64<<10); err == nil; w.Flush() {
					_, err = w.Write(piece)
				}
				given <- err
			}))
			s.EnableHTTP2 = second
			s.StartTLS()
			defer s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = answer.Body.Close() }()
			if _, err := io.CopyN(io.Discard, answer.Body, 1<<20); err != nil {
				t.Errorf("while it is read: %v", err)
			}
			select {
			case err := <-given:
				t.Log(err)
			case <-ctx.Done():
				t.Error("the server still writes")
			}
		})
	}
}

// Bytes of requests are counted while their calls are under way.
func TestBody(t *testing.T) {
	room := newSlots(100)
	read := func(who string, left int64, text string) (*body, error) {
		b := &body{ReadCloser: io.NopCloser(strings.NewReader(text)), left: left, room: room, who: holders{who}}
		_, err := io.ReadAll(b)
		return b, err
	}
	full := strings.Repeat("a", 50)
	first, err := read("a", 100, full)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		who  string
		left int64
		text string
	}{
		"one who has a half":                {"a", 100, "b"},
		"more than a call may have":         {"b", 10, "01234567890"},
		"more than all calls may have left": {"b", 100, full + "b"},
	} {
		b, err := read(c.who, c.left, c.text)
		b.release()
		if connect.CodeOf(err) != connect.CodeResourceExhausted || !errors.Is(fault.Answered(err), policystore.ErrLimited) {
			t.Errorf("%s: %v", name, err)
		}
	}
	first.release()
	if again, err := read("a", 100, full); err != nil {
		t.Error(err)
	} else {
		again.release()
	}
	if room.used != 0 || len(room.by) != 0 {
		t.Errorf("%d bytes are held, by %v", room.used, room.by)
	}
}

// unsure cannot say of any token whether it is valid.
type unsure struct{}

func (unsure) TokenValid(context.Context, string) error { return errors.New("the disk is gone") }

// A call without a deadline goes on for some time when it cannot be told whether its token is
// valid, and not for ever.
func TestTokenThatCannotBeLookedAt(t *testing.T) {
	g := &gate{tokens: unsure{}, recheck: time.Millisecond}
	ctx, end := g.whileValid(t.Context(), "id")
	defer end()
	select {
	case <-ctx.Done():
		if err := context.Cause(ctx); !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the call goes on")
	}
}

// However many users connect, the node's own can, too.
func TestConnectionsOfOthers(t *testing.T) {
	l := newPeerListener(nil)
	for uid := range uint32(maxOthers) {
		if !l.admit(peer{uid: 1000 + uid}) {
			t.Fatalf("the connection of user %d is refused", uid)
		}
	}
	if l.admit(peer{uid: 1}) {
		t.Error("one too many is admitted")
	}
	if !l.admit(peer{uid: 0, trusted: true}) {
		t.Error("the node's user is refused")
	}
	l.release(peer{uid: 1000})
	if !l.admit(peer{uid: 1}) {
		t.Error("one is refused although there is room")
	}
	own := 1
	for l.admit(peer{uid: 0, trusted: true}) {
		own++
	}
	if own != maxTrusted {
		t.Errorf("%d of the node's own user are admitted", own)
	}
}
