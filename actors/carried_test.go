package actors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// full is as much as a cell carries.
func full() Carried {
	s, now := new(seen), time.Unix(1000, 0)
	for i := range 2 * seenIDs {
		s.begin(seenID(i + 1))
		s.answered(seenID(i+1), Reply{Epoch: 1, Value: cell.BytesValue(make([]byte, seenBytes/seenIDs))}, now)
	}
	c := Carried{Since: 3, Seen: s.carry(now)}
	for range topicsOfCell {
		c.Topics = append(c.Topics, strings.Repeat("x", 128))
	}
	return c
}

// TestCarried: it is decoded as it was, also when it is as large as it gets.
func TestCarried(t *testing.T) {
	denied := &cell.Error{Kind: cell.PolicyDenied, Message: "no \xff", Type: "T", Traceback: "t", Denial: &cell.Denial{Cell: "c", At: time.Unix(5, 0).UTC()}}
	for name, c := range map[string]Carried{
		"empty":  {},
		"errors": {Since: 1, Seen: []Answered{{ID: seenID(1), Ago: 5, Reply: Reply{Epoch: 1, Err: denied}}}, Topics: []string{"a"}},
		"full":   full(),
	} {
		t.Run(name, func(t *testing.T) {
			data, err := c.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var back Carried
			if err := back.UnmarshalBinary(data); err != nil || !reflect.DeepEqual(c, back) {
				t.Errorf("%v, %d answers", err, len(back.Seen))
			}
		})
	}
	other := Carried{Seen: []Answered{{ID: seenID(1), Reply: Reply{Err: errors.New("of no kind")}}}}
	data, err := other.MarshalBinary()
	if err != nil || other.UnmarshalBinary(data) != nil || !strings.Contains(other.Seen[0].Reply.Err.Error(), "of no kind") {
		t.Errorf("%v, %+v", err, other)
	}
	if _, err := (Carried{Topics: []string{strings.Repeat("x", MaxCarried)}}).MarshalBinary(); err == nil {
		t.Error("too large, and encoded")
	}
}

// TestCarriedRefused: what is out of bounds is Invalid, and changes nothing.
func TestCarriedRefused(t *testing.T) {
	id, zero := strings.Repeat("i", len(ID{})), string(make([]byte, len(ID{})))
	// after an id: age, epoch, type, length of the value, no error
	answer := func(id string) string { return id + "\x00\x00\x00\x00\x00" }
	future := "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	for name, data := range map[string]string{
		"nothing":            "",
		"what it once was":   `{"version":1}`,
		"another version":    "\x03\x00\x00\x00",
		"no topics":          "\x02\x00\x00",
		"more":               "\x02\x00\x00\x00\x00",
		"a number too large": "\x02" + future + future,
		"half an id":         "\x02\x00\x01" + id[1:],
		"the zero id":        "\x02\x00\x01" + answer(zero) + "\x00",
		"twice":              "\x02\x00\x02" + answer(id) + answer(id) + "\x00",
		"from the future":    "\x02\x00\x01" + id + future + "\x00\x00\x00\x00\x00",
		"of an unknown type": "\x02\x00\x01" + id + "\x00\x00\x09\x00\x00\x00",
		"half a value":       "\x02\x00\x01" + id + "\x00\x00\x00\x09\x00\x00",
		"with what is new":   "\x02\x00\x01" + id + "\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00",
		"only a denial":      "\x02\x00\x01" + id + "\x00\x00\x00\x00\x02\x00\x00\x00\x00\x02{}\x00",
		"no denial":          "\x02\x00\x01" + id + "\x00\x00\x00\x00\x03\x00\x00\x00\x00\x02[]\x00",
		"a topic that is no": "\x02\x00\x00\x01\x03a b",
		"many topics":        "\x02\x00\x00" + string(binary.AppendUvarint(nil, topicsOfCell+1)) + strings.Repeat("\x01a", topicsOfCell+1),
		"many answers":       "\x02\x00" + string(binary.AppendUvarint(nil, seenIDs+1)) + strings.Repeat(answer(id), seenIDs+1) + "\x00",
		"large":              "\x02\x00\x00\x00" + strings.Repeat(" ", MaxCarried),
	} {
		c := Carried{Since: 7}
		if err := c.UnmarshalBinary([]byte(data)); cell.KindOf(err) != cell.Invalid || c.Since != 7 {
			t.Errorf("%s: %v", name, err)
		}
	}
	var c Carried
	if err := c.UnmarshalBinary([]byte("\x02\x07\x01" + answer(id) + "\x01\x01a")); err != nil || c.Since != 7 || len(c.Seen) != 1 || len(c.Topics) != 1 {
		t.Errorf("what is refused above is not what is said: %v, %+v", err, c)
	}
}

// TestCarriedKept: what is carried is bounded and forgotten as what was seen here.
func TestCarriedKept(t *testing.T) {
	now := time.Unix(1000, 0)
	s := new(seen)
	s.load([]Answered{
		{ID: seenID(1), Ago: 2 * seenFor},
		{ID: seenID(2), Ago: seenFor / 2, Reply: Reply{Value: cell.BytesValue(make([]byte, seenBytes))}},
		{ID: seenID(3), Ago: 0, Reply: Reply{Value: cell.BytesValue([]byte("x"))}},
	}, now)
	for i, want := range map[int]bool{1: false, 2: true, 3: true} {
		if r, known := s.ask(seenID(i), now); known != want || i == 2 && cell.KindOf(r.Err) != cell.UnknownOutcome || i == 3 && string(r.Value.Data) != "x" {
			t.Errorf("%d is known: %t, %+v", i, known, r)
		}
	}
	if _, known := s.ask(seenID(2), now.Add(seenFor/2)); known {
		t.Error("it is kept longer because it was carried")
	}
}

// FuzzCarried: whatever a node sends is refused, or is within the bounds and encoded as it was.
func FuzzCarried(f *testing.F) {
	for _, c := range []Carried{{}, {Seen: []Answered{{ID: seenID(2), Reply: Reply{Err: &cell.Error{Kind: cell.PolicyDenied, Denial: &cell.Denial{Cell: "c"}}}}}}, {Since: 1, Topics: []string{"a"}, Seen: []Answered{{ID: seenID(1), Ago: 1, Reply: Reply{Err: cell.Errorf(cell.Busy, "m")}}}}} {
		data, err := c.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Carried
		if err := c.UnmarshalBinary(data); err != nil {
			if cell.KindOf(err) != cell.Invalid {
				t.Errorf("not said to be invalid: %v", err)
			}
			return
		}
		once, err := c.MarshalBinary()
		if err != nil {
			return // a denial may have been said in fewer bytes
		}
		var back Carried
		if err := back.UnmarshalBinary(once); err != nil {
			t.Fatal(err)
		}
		if twice, err := back.MarshalBinary(); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q is then %q, %v", once, twice, err)
		}
		s := new(seen)
		s.load(c.Seen, time.Now())
		if s.bytes > seenBytes || len(s.order) > seenIDs {
			t.Errorf("%d answers of %d bytes", len(s.order), s.bytes)
		}
	})
}
