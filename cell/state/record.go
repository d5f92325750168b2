package state

import (
	"errors"
	"hash/crc32"

	"github.com/pyisolate/pyisolate/cell"
)

// Magic and Version are a stream's first bytes.
const (
	Magic   = "PYISTATE"
	Version = 1
)

// ErrFormat: what was read is not the next part of a stream.
var ErrFormat = errors.New("state: damaged")

// Kind of a record.
type Kind uint8

// The kinds, in the order in which their records come; the first three may alternate.
const (
	Data     Kind = 1 + iota // of the pickle, at most [cell.MaxChunk] bytes
	CodePart                 // of a code object, which goes on in the next record
	Code                     // the rest of one
	Inbox                    // a value to be received by the guest: its type, then the value
	Outbox                   // a value that the guest posted
	Failure                  // a [cell.Error] in the place of one, in JSON
	End                      // a [cell.Snapshot] in JSON
)

// Record is one of a stream. The payload of a Data, CodePart or Code is the Reader's again when the next is read;
// that of others belongs to whoever has the record.
type Record struct {
	Kind    Kind
	Payload []byte
	// Value of an Inbox or Outbox, Err of a Failure, Snapshot of the End.
	Value    cell.Value
	Err      *cell.Error
	Snapshot cell.Snapshot
}

const headSize, sumSize = 5, 4

var sums = crc32.MakeTable(crc32.Castagnoli)

// most is how long a record's payload may be.
func (k Kind) most() int {
	switch k {
	case Data, CodePart, Code:
		return cell.MaxChunk
	case Inbox, Outbox:
		return 1 + cell.MaxMessageBytes
	case Failure, End:
		return 1 << 20
	default:
		return -1
	}
}

// step is where in the order a kind is.
func (k Kind) step() int {
	switch k {
	case Data, CodePart, Code:
		return 0
	case Inbox:
		return 1
	case Outbox, Failure:
		return 2
	default:
		return 3
	}
}
