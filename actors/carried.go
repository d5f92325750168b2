package actors

import (
	"encoding/binary"
	"time"

	"github.com/pyisolate/pyisolate/cell"
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

// carriedVersion is of the encoding, and its first byte; another one is refused.
const carriedVersion = 2

// MarshalBinary encodes it. What a cell carries is within the bounds; one that is not is an error.
func (c Carried) MarshalBinary() (data []byte, err error) {
	data = make([]byte, 0, c.room())
	data = binary.AppendUvarint(append(data, carriedVersion), c.Since)
	data = binary.AppendUvarint(data, uint64(len(c.Seen)))
	for _, a := range c.Seen {
		if data, err = a.append(data); err != nil {
			return nil, err
		}
	}
	data = binary.AppendUvarint(data, uint64(len(c.Topics)))
	for _, topic := range c.Topics {
		data = appendText(data, topic)
	}
	if len(data) > MaxCarried {
		return nil, tooMuch(len(data))
	}
	return data, nil
}

// room is about how many bytes it takes.
func (c Carried) room() int {
	n := 64
	for _, a := range c.Seen {
		n += 64 + kept(a.Reply)
	}
	for _, topic := range c.Topics {
		n += 2 + len(topic)
	}
	return n
}

func tooMuch(bytes int) error {
	return cell.Errorf(cell.Invalid, "what goes with the cell has %d bytes; %d is the most", bytes, MaxCarried)
}

// UnmarshalBinary decodes what MarshalBinary made. Everything else is Invalid.
func (c *Carried) UnmarshalBinary(data []byte) error {
	if len(data) > MaxCarried {
		return tooMuch(len(data))
	}
	f := &carriedFields{rest: data}
	if version := f.byte(); f.err == nil && version != carriedVersion {
		f.wrong("what goes with the cell is of version %d; this node knows %d", version, carriedVersion)
	}
	out := Carried{Since: f.number()}
	known := map[ID]bool{}
	for n := f.count("answers", seenIDs); n > 0 && f.err == nil; n-- {
		a := f.answered()
		if known[a.ID] {
			f.wrong("the answer to %s goes with the cell twice", a.ID)
		}
		known[a.ID] = true
		out.Seen = append(out.Seen, a)
	}
	for n := f.count("topics", topicsOfCell); n > 0 && f.err == nil; n-- {
		topic := f.text()
		if err := validTopic(topic); err != nil && f.err == nil {
			f.err = err
		}
		out.Topics = append(out.Topics, topic)
	}
	if len(f.rest) > 0 {
		f.wrong("what goes with the cell has %d bytes too many", len(f.rest))
	}
	if f.err != nil {
		return f.err
	}
	*c = out
	return nil
}
