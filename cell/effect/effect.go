// Package effect connects a cell's requests to a session of package capability:
// it translates values and errors between the two vocabularies, and nothing else.
package effect

import (
	"context"
	"errors"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
)

// Serve performs one request of the cell that s is the session of. A refusal is
// a PolicyDenied error with its Denial. What failed although it was allowed is a
// GuestError whose Type is the capability's word for it: "NotFound", "Failed"….
// It may be called from any goroutine.
func Serve(ctx context.Context, s *capability.Session, r cell.Request) (cell.Value, error) {
	v, err := s.Do(ctx, capability.Request{Capability: r.Capability, Action: r.Action,
		Payload: capability.Value{Type: capability.ContentType(r.Payload.Type), Data: r.Payload.Data}})
	if err != nil {
		return cell.Value{}, translate(err)
	}
	return cell.Value{Type: cell.ContentType(v.Type), Data: v.Data}, nil
}

func translate(err error) *cell.Error {
	var e *capability.Error
	if !errors.As(err, &e) {
		return cell.Errorf(cell.KindUnknown, "the request failed")
	}
	out := cell.Errorf(kindOf(e.Kind), "%s", e.Message)
	if out.Kind == cell.GuestError {
		out.Type = e.Kind.String()
	}
	if d := e.Denial; d != nil {
		out.Denial = Denial(*d)
	}
	return out
}

// Denial is the evidence of a refusal as package cell has it.
func Denial(d capability.Denial) *cell.Denial {
	action := d.Action
	if d.Target != "" {
		action += " " + d.Target
	}
	at := d.At
	if at.IsZero() {
		at = time.Now()
	}
	return &cell.Denial{Cell: d.Cell, Capability: d.Capability, Action: action, Rule: d.Rule, Broker: d.Reason, At: at}
}

func kindOf(k capability.Kind) cell.Kind {
	word := k.Word()
	for _, kind := range cell.Kinds() {
		if kind.String() == word {
			return kind
		}
	}
	return cell.KindUnknown
}
