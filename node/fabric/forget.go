package fabric

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// forgetTopic is for the name of a cell that has ended, and that its node keeps to tell of it.
const forgetTopic = "cells/forget"

const (
	// forgetWithin is how long another node may take to give a name up, and lookAgain how often it is
	// looked whether the name is still its.
	forgetWithin = 2 * time.Second
	lookAgain    = 50 * time.Millisecond
)

// forgotten is the answer: the name is free.
type forgotten struct {
	Free bool `json:"free"`
}

// askForget says whether a name is free to be claimed again: its node has given it up, or is known to
// be gone.
func (f *Fabric) askForget(ctx context.Context, r directory.Record) (free bool, err error) {
	request, err := json.Marshal(r.Cell)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, forgetWithin)
	defer cancel()
	f.spawn(func() { f.awaitOther(ctx, r, cancel) })
	node := r.Owner.Node
	back, err := f.at().Control().Ask(ctx, node, forgetTopic, request)
	if err != nil {
		return f.overtaken(r), err
	}
	var answer forgotten
	if err := strictjson.Unmarshal(back, &answer); err != nil {
		return false, fmt.Errorf("the answer of node %s: %w", node, err)
	}
	return answer.Free, nil
}

// awaitOther calls then when a record has become another.
func (f *Fabric) awaitOther(ctx context.Context, r directory.Record, then func()) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for !f.overtaken(r) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	then()
}

// overtaken says whether a cell is in another epoch than in a record, or is no more.
func (f *Fabric) overtaken(r directory.Record) bool {
	now, known := f.at().Group().Find(r.Cell)
	return !known || now.Epoch > r.Epoch
}

// answerForget gives the name of a cell that has ended back, and returns when it is free.
func (f *Fabric) answerForget(ctx context.Context, from string, request []byte) ([]byte, error) {
	a, err := readForget(request)
	if err != nil {
		return nil, fmt.Errorf("node %s asks for a name: %w", from, err)
	}
	free := f.forget(a)
	if !free {
		free, err = f.drop(ctx, a)
	}
	if err == nil {
		err = f.given(ctx, a)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(forgotten{free})
}

func readForget(request []byte) (actors.Address, error) {
	var c directory.Cell
	if err := strictjson.Unmarshal(request, &c); err != nil {
		return actors.Address{}, err
	}
	return addressOf(c), nil
}

// forget has a cell that has ended give up its name here; it says whether there was one.
func (f *Fabric) forget(a actors.Address) bool {
	system := f.system.Load()
	e, here := f.names.local.Lookup(a)
	if system == nil || !here {
		return false
	}
	gone := system.ForgetEntry(e)
	if gone == nil {
		return false
	}
	<-gone
	return true
}

// endWithin is how long an earlier cell is waited for that ends, and endPause between looks.
const endWithin, endPause = 2 * time.Second, 10 * time.Millisecond

// outlive returns when an earlier cell has given its name up here, which this node may have been told to end when its lease was
// over. It does not wait for long: what has the name may be about to claim it.
func (f *Fabric) outlive(a actors.Address) {
	for end := time.Now().Add(endWithin); !f.forget(a) && time.Now().Before(end); {
		if _, here := f.names.local.Lookup(a); !here || !pause.For(f.life, endPause) {
			return
		}
	}
}

// drop gives a record of this node back that no actor of its has, and says whether that is so.
func (f *Fabric) drop(ctx context.Context, a actors.Address) (free bool, err error) {
	if err := f.given(ctx, a); err != nil {
		return false, err
	}
	seat, valid := f.at().Lease().Seat()
	r, known := f.record(a)
	// Who claims has a name here before: what is looked at last cannot have a record that was
	// looked at first.
	if _, here := f.names.local.Lookup(a); here || !valid {
		return false, nil
	}
	if known && r.Owner == seat {
		if !f.disown(a, r) {
			return false, nil
		}
		err = f.given(ctx, a)
	}
	return err == nil, err
}

// disown gives a record back that no actor has, and says whether it does: not while one is being claimed, or comes
// from elsewhere.
func (f *Fabric) disown(a actors.Address, r directory.Record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	has, ours := f.owned[a]
	if f.claims[a] > 0 || f.coming(a, r) || ours && has.Epoch > r.Epoch {
		return false
	}
	delete(f.owned, a)
	f.give(a, r)
	return true
}
