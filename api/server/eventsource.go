package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// source is a node whose events a stream of several nodes' has. It is for one goroutine at a time.
type source struct {
	*gathering
	node   string
	last   uint64 // the index of the last event that came
	gone   string // what is known of it beforehand, as "failed"; "": it may be asked
	caught bool   // it has sent what it had kept
	silent bool   // and the client knows
}

// run sends what the node kept, unless it has, and then what happens, until ctx ends or the node is none of
// the cluster's any more. While it does not answer it is asked again and again.
func (s *source) run(ctx context.Context) {
	for {
		if s.caught || s.catchUp(ctx, s.came) {
			s.caught = false
			s.isSilent(ctx, s.came, s.ask(ctx, true, s.came))
		}
		if !s.wait(ctx) {
			break
		}
	}
	select {
	case s.ended <- s:
	case <-ctx.Done():
	}
}

// wait returns when the node is to be asked again; false: never.
func (s *source) wait(ctx context.Context) bool {
	for pause.For(ctx, lookEvery) {
		if there, member := s.isThere(s.node); there || !member {
			s.gone = ""
			return there
		}
	}
	return false
}

// catchUp sends what the node has kept since the last event, and says whether it did.
func (s *source) catchUp(ctx context.Context, to chan<- *pb.EventsResponse) bool {
	if s.gone != "" {
		s.tell(ctx, to, events.NodeSilent, "it is "+s.gone)
		return false
	}
	if err := s.ask(ctx, false, to); err != nil {
		s.isSilent(ctx, to, err)
		return false
	}
	s.isBack(ctx, to)
	s.caught = true
	return true
}

// isSilent tells the client that the node does not answer, once.
func (s *source) isSilent(ctx context.Context, to chan<- *pb.EventsResponse, err error) {
	why := "it does not answer: " + connect.CodeOf(err).String()
	var given givenUp
	if errors.As(err, &given) {
		why = given.Error()
	}
	s.tell(ctx, to, events.NodeSilent, why)
}

func (s *source) isBack(ctx context.Context, to chan<- *pb.EventsResponse) {
	s.tell(ctx, to, events.NodeBack, "it answers again")
}

// tell says that the node is silent, or is not any more, to who does not know.
func (s *source) tell(ctx context.Context, to chan<- *pb.EventsResponse, kind events.Kind, message string) {
	if is := kind == events.NodeSilent; is != s.silent && ctx.Err() == nil {
		s.silent = is
		s.push(ctx, to, &pb.EventsResponse{Item: &pb.EventsResponse_Event{Event: &pb.Event{Kind: string(kind), At: timestamppb.Now(), Message: message}}})
	}
}

// push sends the client a message of the node. It waits until there is room, or ctx ends.
func (s *source) push(ctx context.Context, to chan<- *pb.EventsResponse, m *pb.EventsResponse) {
	if e := m.GetEvent(); e != nil {
		e.Node = s.node // whatever it says
	} else {
		m.LostOf = s.node
	}
	select {
	case to <- m:
		s.last = cmp.Or(m.GetEvent().GetIndex(), s.last)
	case <-ctx.Done():
	}
}

const (
	// keptMost is how many messages a node has of what it kept: as many as its hub keeps, and one of what it lost.
	keptMost = events.DefaultKeep + 1
	// keptWithin is how long a node is waited for, in all, until it has sent what it kept.
	keptWithin = 4 * peerWithin
)

// givenUp is why a node is asked no further.
type givenUp string

func (g givenUp) Error() string { return string(g) }

var (
	errNothingCame = givenUp(fmt.Sprintf("it does not answer: nothing came for %s", peerWithin))
	errTooSlow     = givenUp(fmt.Sprintf("what it has kept did not come within %s", keptWithin))
	errTooMany     = givenUp(fmt.Sprintf("it sends more than the %d events that a node keeps", events.DefaultKeep))
)

// waiting bounds how long a node is waited for: each time for peerWithin, and for keptWithin in all.
type waiting struct {
	over  func(error)
	late  *time.Timer
	since time.Time
	left  time.Duration
}

func newWaiting(over func(error)) *waiting {
	w := &waiting{over: over, left: keptWithin}
	w.begin()
	return w
}

func (w *waiting) begin() {
	most, why := peerWithin, errNothingCame
	if w.left < most {
		most, why = w.left, errTooSlow
	}
	w.since, w.late = time.Now(), time.AfterFunc(most, func() { w.over(why) })
}

func (w *waiting) end() {
	w.late.Stop()
	w.left -= time.Since(w.since)
}

// ask sends what a node answers. Where it does not follow, this is bounded: others are waited with for what it
// sends. Of a node that is followed the way there tells when it is dead.
func (s *source) ask(ctx context.Context, follow bool, to chan<- *pb.EventsResponse) error {
	r := &pb.EventsRequest{After: s.last, Tenant: s.request.GetTenant(), Cell: s.request.GetCell(), Kinds: s.request.GetKinds(), Follow: follow}
	if s.node == s.self() {
		return s.own(ctx, r, func(m *pb.EventsResponse) error {
			s.push(ctx, to, m)
			return ctx.Err()
		})
	}
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wait := newWaiting(cancel)
	defer func() { wait.end() }()
	in, err := s.peers.of(s.node).nodes.Events(asking, toPeer(ctx, r))
	if err != nil {
		return endOf(asking, err)
	}
	defer func() { _ = in.Close() }()
	for came := 0; ; came++ {
		if follow {
			wait.end() // it has answered
		}
		more := in.Receive()
		wait.end() // it is the client who is waited for
		switch {
		case !more:
			return endOf(asking, in.Err())
		case !follow && came == keptMost:
			return errTooMany
		}
		s.isBack(ctx, to)
		s.push(ctx, to, in.Msg())
		if !follow {
			wait.begin()
		}
	}
}

// endOf is why the asking of a node ended.
func endOf(asking context.Context, err error) error {
	if cause := context.Cause(asking); cause != nil {
		return cause
	}
	return err
}
