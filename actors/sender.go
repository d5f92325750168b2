package actors

import (
	"context"

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
	return toGuest(s.system.subscribe(address(from), topic, chosen))
}

func (s sender) Unsubscribe(from capability.Identity, topic string) error {
	s.system.Unsubscribe(address(from), topic)
	return nil
}

func (s sender) Narrow(from capability.Identity, to []string) { s.system.narrow(address(from), to) }

// toGuest says in the capabilities' words what became of a message.
func toGuest(err error) error {
	if err == nil {
		return nil
	}
	kinds := map[cell.Kind]capability.Kind{
		cell.CellGone: capability.NotFound, cell.Busy: capability.Busy, cell.Timeout: capability.Timeout,
		cell.Cancelled: capability.Cancelled, cell.Invalid: capability.Invalid, cell.UnknownOutcome: capability.Timeout,
	}
	kind, known := kinds[cell.KindOf(err)]
	if !known {
		kind = capability.Failed
	}
	return capability.Errorf(kind, "%v", err)
}
