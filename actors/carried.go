package actors

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// Carried is what an actor knows of its cell, beside the state that the cell holds itself, and
// what goes with it to another node: [Move] gives it, and a [Plan] takes it.
type Carried struct {
	// Since is the first epoch whose incarnation goes on in this one; 0: none does. Who named one
	// from then on still means this cell.
	Since uint64
	// Seen are the answers that are remembered, the oldest first.
	Seen []Answered
	// Topics that the cell hears, sorted.
	Topics []string
}

// Answered is what became of an envelope with an ID.
type Answered struct {
	ID ID
	// Ago is how long ago it was answered, at least 0: the clocks of nodes are not compared.
	Ago time.Duration
	// Reply has an epoch, a value and an error, and nothing else.
	Reply Reply
}

// MaxCarried is how many bytes a Carried has when it is encoded, at the most.
const MaxCarried = 4 << 20

// carriedForm is how it is encoded. Texts of guests need not be UTF-8, so they are bytes.
type carriedForm struct {
	Version int            `json:"version"`
	Since   uint64         `json:"since,omitempty"`
	Seen    []answeredForm `json:"seen,omitempty"`
	Topics  []string       `json:"topics,omitempty"`
}

type answeredForm struct {
	ID    []byte     `json:"id"`
	Ago   int64      `json:"ago"` // in nanoseconds
	Epoch uint64     `json:"epoch,omitempty"`
	Type  uint8      `json:"type,omitempty"`
	Data  []byte     `json:"data,omitempty"`
	Error *errorForm `json:"error,omitempty"`
}

type errorForm struct {
	Kind      uint8        `json:"kind"`
	Message   []byte       `json:"message,omitempty"`
	Type      []byte       `json:"type,omitempty"`
	Traceback []byte       `json:"traceback,omitempty"`
	Denial    *cell.Denial `json:"denial,omitempty"`
}

// carriedVersion is of the encoding; another one is refused.
const carriedVersion = 1

// MarshalBinary encodes it. What a cell carries is within the bounds; one that is not is an error.
func (c Carried) MarshalBinary() ([]byte, error) {
	form := carriedForm{Version: carriedVersion, Since: c.Since, Topics: c.Topics}
	for _, a := range c.Seen {
		form.Seen = append(form.Seen, answeredForm{
			ID: a.ID[:], Ago: int64(a.Ago), Epoch: a.Reply.Epoch,
			Type: uint8(a.Reply.Value.Type), Data: a.Reply.Value.Data, Error: toForm(a.Reply.Err),
		})
	}
	data, err := json.Marshal(form)
	if err == nil && len(data) > MaxCarried {
		err = cell.Errorf(cell.Invalid, "what goes with the cell has %d bytes; %d is the most", len(data), MaxCarried)
	}
	return data, err
}

// UnmarshalBinary decodes what MarshalBinary made. Everything else is Invalid.
func (c *Carried) UnmarshalBinary(data []byte) error {
	if len(data) > MaxCarried {
		return cell.Errorf(cell.Invalid, "what goes with the cell has %d bytes; %d is the most", len(data), MaxCarried)
	}
	var form carriedForm
	if err := strictjson.Unmarshal(data, &form); err != nil {
		return cell.Errorf(cell.Invalid, "what goes with the cell: %v", err)
	}
	switch {
	case form.Version != carriedVersion:
		return cell.Errorf(cell.Invalid, "what goes with the cell is of version %d; this node knows %d", form.Version, carriedVersion)
	case len(form.Seen) > seenIDs:
		return cell.Errorf(cell.Invalid, "%d answers go with the cell; %d is the most", len(form.Seen), seenIDs)
	case len(form.Topics) > topicsOfCell:
		return cell.Errorf(cell.Invalid, "%d topics go with the cell; %d is the most", len(form.Topics), topicsOfCell)
	}
	out := Carried{Since: form.Since, Topics: form.Topics}
	known := map[ID]bool{}
	for _, f := range form.Seen {
		a, err := f.answered()
		switch {
		case err != nil:
			return err
		case known[a.ID]:
			return cell.Errorf(cell.Invalid, "the answer to %s goes with the cell twice", a.ID)
		}
		known[a.ID] = true
		out.Seen = append(out.Seen, a)
	}
	for _, topic := range out.Topics {
		if err := validTopic(topic); err != nil {
			return err
		}
	}
	*c = out
	return nil
}

func (f answeredForm) answered() (a Answered, err error) {
	switch {
	case len(f.ID) != len(a.ID) || ID(f.ID) == ID{}:
		return a, cell.Errorf(cell.Invalid, "an answer goes with the cell whose id %x is none", f.ID)
	case f.Ago < 0:
		return a, cell.Errorf(cell.Invalid, "an answer goes with the cell that is %s old", time.Duration(f.Ago))
	case f.Type > uint8(cell.Bytes):
		return a, cell.Errorf(cell.Invalid, "an answer goes with the cell of content type %d, which is not known", f.Type)
	}
	a = Answered{ID: ID(f.ID), Ago: time.Duration(f.Ago)}
	a.Reply = Reply{Epoch: f.Epoch, Value: cell.Value{Type: cell.ContentType(f.Type), Data: f.Data}}
	if f.Error != nil {
		a.Reply.Err = f.Error.err()
	}
	return a, nil
}

// toForm is nil for nil. An error from outside the vocabulary keeps its text alone.
func toForm(err error) *errorForm {
	if err == nil {
		return nil
	}
	var e *cell.Error
	if !errors.As(err, &e) {
		return &errorForm{Kind: uint8(cell.KindOf(err)), Message: []byte(err.Error())}
	}
	return &errorForm{Kind: uint8(e.Kind), Message: []byte(e.Message), Type: []byte(e.Type), Traceback: []byte(e.Traceback), Denial: e.Denial}
}

func (f *errorForm) err() *cell.Error {
	e := &cell.Error{Kind: cell.Kind(f.Kind), Message: string(f.Message), Type: string(f.Type), Traceback: string(f.Traceback), Denial: f.Denial}
	if !e.Kind.Known() { // of a newer node
		e.Kind = cell.KindUnknown
	}
	return e
}
