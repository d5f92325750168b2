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
	why := connect.CodeOf(err).String()
	if errors.Is(err, errNothingCame) {
		why = err.Error()
	}
	s.tell(ctx, to, events.NodeSilent, "it does not answer: "+why)
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

// errNothingCame is why a node is asked no further.
var errNothingCame = fmt.Errorf("nothing came for %s", peerWithin)

// ask sends what a node answers. Where it does not follow, something comes within peerWithin of what came
// before; of a node that is followed the way there tells when it is dead.
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
	late := time.AfterFunc(peerWithin, func() { cancel(errNothingCame) })
	defer late.Stop()
	in, err := s.peers.of(s.node).nodes.Events(asking, toPeer(ctx, r))
	if err != nil {
		return endOf(asking, err)
	}
	defer func() { _ = in.Close() }()
	for {
		if follow {
			late.Stop() // it has answered
		}
		more := in.Receive()
		late.Stop() // it is the client who is waited for
		if !more {
			return endOf(asking, in.Err())
		}
		s.isBack(ctx, to)
		s.push(ctx, to, in.Msg())
		late.Reset(peerWithin)
	}
}

// endOf is why the asking of a node ended.
func endOf(asking context.Context, err error) error {
	if cause := context.Cause(asking); cause != nil {
		return cause
	}
	return err
}
