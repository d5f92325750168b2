package actors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// The fields of what is carried, one after the other: numbers as varints, texts with their length before them.
// Texts of guests need not be UTF-8.

// What an answer has behind its epoch.
const (
	failed byte = 1 << iota // an error
	denied                  // and its denial
)

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func (a Answered) append(b []byte) ([]byte, error) {
	b = append(b, a.ID[:]...)
	b = binary.AppendUvarint(b, uint64(a.Ago))
	b = binary.AppendUvarint(b, a.Reply.Epoch)
	b = append(b, byte(a.Reply.Value.Type))
	b = appendText(b, a.Reply.Value.Data)
	return appendError(b, a.Reply.Err)
}

// appendError keeps of an error from outside the vocabulary its text alone.
func appendError(b []byte, err error) ([]byte, error) {
	if err == nil {
		return append(b, 0), nil
	}
	var e *cell.Error
	if !errors.As(err, &e) {
		e = &cell.Error{Kind: cell.KindOf(err), Message: err.Error()}
	}
	has := failed
	if e.Denial != nil {
		has |= denied
	}
	b = append(b, has, byte(e.Kind))
	b = appendText(appendText(appendText(b, e.Message), e.Type), e.Traceback)
	if e.Denial == nil {
		return b, nil
	}
	denial, err := json.Marshal(e.Denial)
	return appendText(b, denial), err
}

// carriedFields takes fields off its bytes. After the first that is not there it gives zeros; err says so.
type carriedFields struct {
	rest []byte
	err  error
}

func (f *carriedFields) wrong(format string, args ...any) {
	if f.err == nil {
		f.err = cell.Errorf(cell.Invalid, format, args...)
	}
	f.rest = nil
}

func (f *carriedFields) take(n uint64) []byte {
	if n > uint64(len(f.rest)) {
		f.wrong("what goes with the cell ends within a field of %d bytes", n)
		return nil
	}
	taken := f.rest[:n:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *carriedFields) number() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 {
		f.wrong("what goes with the cell ends within a number, or has one that is too large")
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *carriedFields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *carriedFields) bytes() []byte { return f.take(f.number()) }

func (f *carriedFields) text() string { return string(f.bytes()) }

// count is of what follows, at most most.
func (f *carriedFields) count(what string, most int) int {
	n := f.number()
	if n > uint64(most) {
		f.wrong("%d %s go with the cell; %d is the most", n, what, most)
		return 0
	}
	return int(n)
}

func (f *carriedFields) answered() (a Answered) {
	copy(a.ID[:], f.take(uint64(len(a.ID))))
	a.Ago = time.Duration(f.number())
	a.Reply.Epoch = f.number()
	a.Reply.Value.Type = cell.ContentType(f.byte())
	a.Reply.Value.Data = append([]byte(nil), f.bytes()...) // and not all of the message for it
	if e := f.failure(); e != nil {
		a.Reply.Err = e
	}
	switch {
	case f.err != nil:
	case a.ID == ID{}:
		f.wrong("an answer goes with the cell whose id is none")
	case a.Ago < 0:
		f.wrong("an answer goes with the cell that is %s old", a.Ago)
	case a.Reply.Value.Type > cell.Bytes:
		f.wrong("an answer goes with the cell of content type %d, which is not known", a.Reply.Value.Type)
	}
	return a
}

func (f *carriedFields) failure() *cell.Error {
	has := f.byte()
	switch {
	case has == 0:
		return nil
	case has&^(failed|denied) != 0 || has&failed == 0:
		f.wrong("an answer goes with the cell that has %#x, which is not known", has)
		return nil
	}
	e := &cell.Error{Kind: cell.Kind(f.byte()), Message: f.text(), Type: f.text(), Traceback: f.text()}
	if !e.Kind.Known() { // of a newer node
		e.Kind = cell.KindUnknown
	}
	if has&denied != 0 {
		e.Denial = &cell.Denial{}
		if err := strictjson.Unmarshal(f.bytes(), e.Denial); err != nil {
			f.wrong("what goes with the cell has a denial that is none: %v", err)
		}
	}
	return e
}
