package failpoint

import (
	"slices"
	"testing"
)

var here = New("test.here")

func TestPoint(t *testing.T) {
	here.Hit()
	hits := 0
	if err := Arm("test.here", func() { hits++ }); err != nil {
		t.Fatal(err)
	}
	here.Hit()
	if err := Arm("test.here", nil); err != nil {
		t.Fatal(err)
	}
	here.Hit()
	if hits != 1 {
		t.Errorf("%d hits, want 1", hits)
	}
	if !slices.Contains(Names(), "test.here") {
		t.Errorf("names are %v", Names())
	}
	if Arm("test.nowhere", nil) == nil {
		t.Error("an unknown point was armed")
	}
}

func BenchmarkHit(b *testing.B) {
	for b.Loop() {
		here.Hit()
	}
}
