package actors

import (
	"cmp"
	"context"
	"errors"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/send"
	"github.com/pyisolate/pyisolate/cell"
)

// Sender is how guests reach other cells: it is for the capability send.
func (s *System) Sender() send.Sender { return sender{s} }

type sender struct{ system *System }

func address(i capability.Identity) Address { return Address{i.Tenant, i.Cell} }

func fromGuest(v capability.Value) cell.Value {
	return cell.Value{Type: cell.ContentType(v.Type), Data: v.Data}
}

func (s sender) Send(ctx context.Context, from capability.Identity, to string, message capability.Value) error {
	env := Envelope{To: Address{from.Tenant, to}, Principal: "cell:" + address(from).String(), Body: Post{fromGuest(message)}}
	return toGuest(s.system.Ask(ctx, env).Err)
}

func (s sender) Publish(ctx context.Context, from capability.Identity, topic string, message capability.Value) (delivered, refused int, err error) {
	p, err := s.system.Publish(ctx, from.Tenant, topic, "cell:"+address(from).String(), fromGuest(message))
	return p.Delivered, len(p.Refused), toGuest(err)
}

func (s sender) Subscribe(from capability.Identity, topic string) error {
	err := s.system.subscribe(address(from), topic, chosen)
	var own *cell.Error
	if errors.As(err, &own) { // this node's words about the cell's own topics
		return capability.Errorf(kindOf(err), "%s", own.Message)
	}
	return toGuest(err)
}

func (s sender) Unsubscribe(from capability.Identity, topic string) error {
	s.system.Unsubscribe(address(from), topic)
	return nil
}

func (s sender) Narrow(from capability.Identity, to []string) { s.system.narrow(address(from), to) }

// kindOf an error in the capabilities' words.
func kindOf(err error) capability.Kind {
	switch cell.KindOf(err) {
	case cell.CellGone:
		return capability.NotFound
	case cell.Busy:
		return capability.Busy
	case cell.Timeout, cell.UnknownOutcome:
		return capability.Timeout
	case cell.Cancelled:
		return capability.Cancelled
	case cell.Invalid:
		return capability.Invalid
	}
	return capability.Failed
}

// toGuest says in the capabilities' words what became of a message. An error's own words are for the
// record alone, unless they are about the message: on the way to another node they name nodes and their
// addresses, and of a cell that has ended what it ended by.
func toGuest(err error) error {
	if err == nil {
		return nil
	}
	says := map[capability.Kind]string{
		capability.NotFound:  "there is no such cell, or not any more",
		capability.Busy:      "the receiver takes no message now, or its node cannot be reached: try again later",
		capability.Timeout:   "the deadline passed; the message may have arrived",
		capability.Cancelled: "the message was withdrawn; it may have arrived",
		capability.Failed:    "the message could not be delivered",
	}
	kind := kindOf(err)
	var about *cell.Error
	if kind == capability.Invalid && errors.As(err, &about) {
		says[kind] = about.Message
	}
	return capability.Errorf(kind, "%s", cmp.Or(says[kind], "the message is not valid")).WithCause(err)
}
