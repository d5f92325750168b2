package remote

import (
	"encoding/json"
	"errors"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
)

// toReply encodes what became of what was asked. What cannot be encoded is an error of its own.
func toReply(body actors.Body, r actors.Reply) *envelope.CellReply {
	m := &envelope.CellReply{Epoch: r.Epoch, Error: errorToWire(r.Err)}
	var err error
	switch body.(type) {
	case actors.Call:
		m.Value = valueToWire(r.Value)
	case actors.Recv:
		for _, item := range r.Items {
			if item.Err != nil {
				m.Items = append(m.Items, &envelope.Item{Error: errorToWire(item.Err)})
			} else {
				m.Items = append(m.Items, &envelope.Item{Value: valueToWire(item.Value)})
			}
		}
	case actors.Inspect:
		m.Report, err = json.Marshal(r.Report)
	case actors.Reload:
		m.Reloaded, err = json.Marshal(r.Reloaded)
	}
	if err != nil {
		m.Error = errorToWire(cell.Errorf(cell.UnknownOutcome, "it was done; encode the answer: %v", err))
	}
	return m
}

// fromReply decodes an answer. One that says nonsense leaves the outcome unknown.
func fromReply(m *envelope.CellReply) actors.Reply {
	r := actors.Reply{Epoch: m.Epoch}
	if e := errorFromWire(m.Error); e != nil {
		if r.Err = e; m.Error.Moved {
			r.Err = actors.AsMoved(e)
		}
	}
	var errs []error
	if m.Value != nil {
		v, err := valueFromWire(m.Value)
		r.Value, errs = v, append(errs, err)
	}
	for _, item := range m.Items {
		if e := errorFromWire(item.GetError()); e != nil {
			r.Items = append(r.Items, cell.Item{Err: e})
			continue
		}
		v, err := valueFromWire(item.GetValue())
		r.Items, errs = append(r.Items, cell.Item{Value: v}), append(errs, err)
	}
	if m.Report != nil {
		errs = append(errs, json.Unmarshal(m.Report, &r.Report))
	}
	if m.Reloaded != nil {
		errs = append(errs, json.Unmarshal(m.Reloaded, &r.Reloaded))
	}
	if err := errors.Join(errs...); err != nil {
		return actors.Reply{Epoch: m.Epoch, Err: cell.Errorf(cell.UnknownOutcome, "the answer cannot be read: %v", err)}
	}
	return r
}

// errorToWire is nil for nil. An error from outside the vocabulary keeps its text alone.
func errorToWire(err error) *envelope.Error {
	if err == nil {
		return nil
	}
	var e *cell.Error
	if !errors.As(err, &e) {
		return &envelope.Error{Kind: uint32(cell.KindOf(err)), Message: []byte(err.Error())}
	}
	m := &envelope.Error{Kind: uint32(e.Kind), Message: []byte(e.Message), Type: []byte(e.Type), Traceback: []byte(e.Traceback), Moved: errors.Is(err, actors.ErrMoved)}
	if e.Denial != nil {
		m.Denial, _ = json.Marshal(e.Denial) // it has text and a time
	}
	return m
}

// errorFromWire is nil for nil.
func errorFromWire(m *envelope.Error) *cell.Error {
	if m == nil {
		return nil
	}
	e := &cell.Error{Kind: kindFromWire(m.Kind), Message: string(m.Message), Type: string(m.Type), Traceback: string(m.Traceback)}
	if len(m.Denial) > 0 {
		var d cell.Denial
		if json.Unmarshal(m.Denial, &d) == nil {
			e.Denial = &d
		}
	}
	return e
}

// kindFromWire: a word that a newer node has, and this one does not, is not known here.
func kindFromWire(k uint32) cell.Kind {
	if known := cell.Kinds(); k >= uint32(known[0]) && k <= uint32(known[len(known)-1]) {
		return cell.Kind(k)
	}
	return cell.KindUnknown
}
