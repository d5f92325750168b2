package server

import "testing"

// Each holder has its pace; one without a bound has none.
func TestRates(t *testing.T) {
	r := newRates(3)
	a, b := holders{"a", "t"}, holders{"b", "u"}
	for i := range 3 {
		if !r.allow(a) {
			t.Fatalf("call %d is refused", i)
		}
	}
	if r.allow(a) {
		t.Error("one too many is allowed")
	}
	if r.allow(holders{"c", "t"}) {
		t.Error("another of the same tenant is allowed")
	}
	if !r.allow(b) {
		t.Error("another tenant's is refused")
	}
	free := newRates(-1)
	for range 100_000 {
		if !free.allow(a) {
			t.Fatal("refused without a bound")
		}
	}
}
