package policystore

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const years = 10 * 365 * 24 * time.Hour

// TestClockJumps has the clock go ahead by ten years, and back.
func TestClockJumps(t *testing.T) {
	c := newClock()
	s := openTest(t, Config{Now: c.now})
	secret, info := mustCreate(t, s, TokenRequest{Name: "m", Role: PolicyAdmin, Expires: c.at.Add(24 * time.Hour)})
	c.add(years)
	put := func() error {
		_, err := s.Put(t.Context(), root, PutRequest{Name: "p", Text: []byte("x")})
		return err
	}
	if err := put(); !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), "ahead by 876") {
		t.Errorf("a change in ten years: %v", err)
	}
	c.add(-years)
	if err := put(); err != nil {
		t.Error(err)
	}
	p, err := s.Authenticate(t.Context(), secret, "here")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), p, PutRequest{Name: "p", Text: []byte("y")}); err != nil {
		t.Error(err)
	}
	if err := s.TokenValid(t.Context(), info.ID); err != nil {
		t.Error(err)
	}
}

// TestTimeAhead is the way back when a change was made at a wrong time after all: tokens end
// everywhere alike, and new ones can be made.
func TestTimeAhead(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	s := mustOpen(t, Config{Now: c.now, Dir: dir})
	secret, info := mustCreate(t, s, TokenRequest{Name: "m", Role: PolicyAdmin, Expires: c.at.Add(24 * time.Hour)})
	mustClose(t, s)
	c.add(years)
	s = openTest(t, Config{Now: c.now, Dir: dir})
	mustPut(t, s, "p", "x")
	c.add(-years)
	if _, err := s.Authenticate(t.Context(), secret, "here"); !errors.Is(err, ErrUnauthenticated) {
		t.Error(err)
	}
	if err := s.TokenValid(t.Context(), info.ID); !errors.Is(err, ErrUnauthenticated) {
		t.Error(err)
	}
	if _, _, err := s.CreateToken(t.Context(), root, TokenRequest{Name: "m", Role: Admin, Expires: c.at.Add(time.Hour)}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "for the store it is") {
		t.Error(err)
	}
	secret, _ = mustCreate(t, s, TokenRequest{Name: "m", Role: PolicyAdmin, Expires: c.at.Add(2 * years)})
	p, err := s.Authenticate(t.Context(), secret, "here")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), p, PutRequest{Name: "p", Text: []byte("y")}); err != nil {
		t.Error(err)
	}
}

func TestJumps(t *testing.T) {
	start := newClock().at
	var passed time.Duration
	j := newJumps(start, func() time.Duration { return passed })
	for i, c := range []struct {
		passed, clock time.Duration // since the start
		ok            bool
	}{
		{0, 0, true},
		{years, years, true}, // nothing changed for long
		{years, years + time.Hour, true},
		{years, years - time.Hour, true}, // it may go back
		{years, 2 * years, false},
		{years + jumpBelieved - 1, 2*years + jumpBelieved - 1, false},
		{years + jumpBelieved, 3 * years, false}, // another jump
		{years + 2*jumpBelieved - 1, 3*years + jumpBelieved - 1, false},
		{years + 2*jumpBelieved, 3*years + jumpBelieved, true}, // it stayed there
		{years + 2*jumpBelieved, 3*years + jumpBelieved, true},
		{years + 2*jumpBelieved, 0, true},
	} {
		passed = c.passed
		if err := j.check(start.Add(c.clock)); (err == nil) != c.ok {
			t.Errorf("step %d: %v", i, err)
		}
	}
}
