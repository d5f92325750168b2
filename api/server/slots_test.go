package server

import "testing"

func TestSlots(t *testing.T) {
	s := newSlots(4)
	take := func(who string, want bool) {
		t.Helper()
		if got := s.take(who); got != want {
			t.Errorf("%s takes a slot: %t", who, got)
		}
	}
	take("a", true)
	take("a", true)
	take("a", false) // one principal has a half
	take("b", true)
	take("c", true)
	take("d", false) // all are taken
	s.give("a")
	take("d", true)
	for _, who := range []string{"a", "b", "c", "d"} {
		s.give(who)
	}
	if s.used != 0 || len(s.by) != 0 {
		t.Errorf("%d slots are held, by %v", s.used, s.by)
	}
}
