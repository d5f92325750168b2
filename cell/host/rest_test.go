package host

import (
	"errors"
	"testing"
	"time"
)

func TestRest(t *testing.T) {
	failure, now := errors.New("killed"), time.Now()
	t.Run("after three failures in a minute", func(t *testing.T) {
		var r rest
		for i := range restFailures {
			if r.on(now) {
				t.Errorf("after %d failures", i)
			}
			r.failed(failure, now.Add(time.Duration(i)*10*time.Second))
		}
		after := now.Add(20 * time.Second)
		if !r.on(after) || !r.on(after.Add(restTime-time.Second)) || r.on(after.Add(restTime)) {
			t.Error("it does not rest for its time")
		}
	})
	t.Run("not after three in a long time", func(t *testing.T) {
		var r rest
		for i := range 10 {
			at := now.Add(time.Duration(i) * restWindow)
			r.failed(failure, at)
			if r.on(at) {
				t.Fatalf("after %d failures, a minute each", i+1)
			}
		}
	})
	t.Run("the first reason stays", func(t *testing.T) {
		var r rest
		r.begin(failure, now)
		r.blame()
		r.failed(errors.New("later"), now)
		r.blame()
		if r.why != "killed" {
			t.Errorf("got %q", r.why)
		}
	})
}

func TestUsersAreNotShared(t *testing.T) {
	u := newUIDs(1000, 3)
	seen := map[uint32]bool{}
	for range 3 {
		uid, own, err := u.take()
		if err != nil || !own || seen[uid] || uid < 1000 || uid > 1002 {
			t.Fatalf("user %d, own %v, %v", uid, own, err)
		}
		seen[uid] = true
	}
	if _, _, err := u.take(); err == nil {
		t.Error("a fourth of three users")
	}
	u.give(1001)
	if uid, _, err := u.take(); uid != 1001 || err != nil {
		t.Errorf("the one given back is 1001, taken was %d: %v", uid, err)
	}
	u.forbid()
	if uid, own, err := u.take(); uid != 0 || own || err != nil {
		t.Errorf("forbidden: %d %v %v", uid, own, err)
	}
	if uid, own, _ := newUIDs(65534, 1).take(); uid != 65534 || own {
		t.Errorf("a single user is for all: %d %v", uid, own)
	}
}
