package raftlog_test

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

// TestPatience gives room back while the store is open and its log waits for it.
func TestPatience(t *testing.T) {
	closing := make(chan struct{})
	var told []error
	stable := &failingStable{failures: 3}
	p := raftlog.NewPatient(stable, func(err error) { told = append(told, err) }, closing)
	if err := p.SetUint64([]byte("k"), 7); err != nil || stable.value != 7 {
		t.Errorf("%v, %d", err, stable.value)
	}
	if len(told) != 2 || !errors.Is(told[0], unix.ENOSPC) || told[1] != nil {
		t.Errorf("it told %v", told)
	}
	if err := p.Set([]byte("candidate"), nil); err != nil {
		t.Error(err)
	}
	close(closing)
	stable.failures = 1 << 30
	if err := p.SetUint64([]byte("k"), 8); err != nil || stable.value != 7 {
		t.Errorf("%v, %d", err, stable.value)
	}
	stable.failures = 0 // there is room, too late
	if err := p.Set([]byte("candidate"), nil); err == nil {
		t.Error("a vote in a term that is not stored")
	}
}

// failingStable is a stable store on a disk that is full for some time.
type failingStable struct {
	raft.StableStore
	failures int
	value    uint64
}

func (f *failingStable) Set([]byte, []byte) error { return nil }

func (f *failingStable) SetUint64(_ []byte, value uint64) error {
	if f.failures--; f.failures >= 0 {
		return unix.ENOSPC
	}
	f.value = value
	return nil
}
