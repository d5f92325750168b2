package await

import (
	"testing"
	"time"
)

func TestWithin(t *testing.T) {
	looks := 0
	if !Within(time.Minute, func() bool { looks++; return looks == 3 }) || looks != 3 {
		t.Errorf("%d looks", looks)
	}
	looks = 0
	if Within(10*time.Millisecond, func() bool { looks++; return false }) || looks < 2 {
		t.Errorf("what never is, was, after %d looks", looks)
	}
	if !Within(0, func() bool { return true }) {
		t.Error("what is so, was not seen")
	}
}

// failed is a test that keeps how it failed.
type failed struct {
	testing.TB
	text string
}

func (f *failed) Helper() {}

func (f *failed) Fatalf(format string, _ ...any) { f.text = format }

func TestThat(t *testing.T) {
	f := &failed{TB: t}
	That(f, "something", func() bool { return true })
	if f.text != "" {
		t.Error(f.text)
	}
}
