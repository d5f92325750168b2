package wire

import "testing"

// Strangers who come at once have as many others go as there are too many of, and not the same one twice.
func TestStrangersWhoComeAtOnce(t *testing.T) {
	const limit = 4
	s := newConns()
	come := func() *Conn {
		evicted, err := s.add(&Conn{stream: Join, counted: true}, limit)
		if err != nil {
			t.Fatal(err)
		}
		return evicted
	}
	for range limit {
		if come() != nil {
			t.Fatal("there is room")
		}
	}
	one, other := come(), come() // before the first that has to go has gone
	if one == nil || other == nil || one == other {
		t.Errorf("%p and %p have to go", one, other)
	}
	s.remove(one)
	s.remove(other)
	if s.len() != limit || s.from[caller{"", Join}] != limit {
		t.Errorf("there are %d, counted as %d; want %d", s.len(), s.from[caller{"", Join}], limit)
	}
}
