package policystore

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/raft"
)

// TestAnswers sends outcomes: what a caller can act on stays as it was.
func TestAnswers(t *testing.T) {
	at := time.Unix(1_800_000_000, 5).UTC()
	for name, want := range map[string]outcome{
		"nothing": {},
		"version": {index: 7, term: 3, judged: true, version: Version{Name: "acme/p", Number: 3, Index: 7, Hash: [32]byte{1}, Author: "a", Comment: "c\nd", Time: at, Deleted: true, Source: "s"}},
		"token":   {index: 8, judged: true, token: TokenInfo{ID: "0123456789abcdef", Name: "n", Role: Admin, Tenant: "acme", Created: at, CreatedBy: "root", Expires: at, Revoked: at}},
	} {
		got, err := decodeAnswer(answerWith(want).encode())
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for _, k := range kinds {
		o, err := decodeAnswer(answerWith(outcome{err: fmt.Errorf("put p: %w: words", k.err), judged: true}).encode())
		if err != nil || !errors.Is(o.err, k.err) || !o.judged || !strings.HasSuffix(o.err.Error(), ": words") {
			t.Errorf("%s: %v, %v", k.name, o.err, err)
		}
	}
	o, err := decodeAnswer(answerWith(outcome{err: errors.New(strings.Repeat("x", 2*maxAnswerText))}).encode())
	if err != nil || o.err == nil || len(o.err.Error()) != maxAnswerText {
		t.Errorf("a long error: %v", err)
	}
	both := fmt.Errorf("%w: %w", ErrUncertain, ErrClosed)
	if o, err := decodeAnswer(answerWith(outcome{err: both}).encode()); err != nil || !errors.Is(o.err, ErrUncertain) {
		t.Errorf("%v, %v", o.err, err)
	}
	if _, err := decodeAnswer([]byte{relayFormat + 1}); !errors.Is(err, ErrNewer) {
		t.Error(err)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	c := &command{action: PutPolicy, principal: acme, requestID: "1", since: 7, name: "acme/etl", text: []byte("text")}
	f.Add(request{question: askCommit, command: c.encode()}.encode())
	f.Add(request{question: askIndex, term: 300}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := decodeRequest(b); err == nil && !bytes.Equal(q.encode(), b) {
			t.Errorf("%x is read as %+v", b, q)
		}
	})
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add(answerWith(outcome{index: 7, version: Version{Name: "p", Number: 3}}).encode())
	f.Add(answerWith(outcome{err: ErrConflict, judged: true}).encode())
	f.Add(answerWith(outcome{token: TokenInfo{ID: "0123456789abcdef", Role: Admin}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := decodeAnswer(b)
		if err != nil {
			return
		}
		again, err := decodeAnswer(answerWith(o).encode())
		sameError := fmt.Sprint(again.err) == fmt.Sprint(o.err)
		again.err, o.err = nil, nil
		if err != nil || !sameError || fmt.Sprint(again) != fmt.Sprint(o) {
			t.Errorf("%x is read as %v and then as %v, %v", b, o, again, err)
		}
	})
}

// TestForgottenRequest repeats requests that may have been made before, when fewer are remembered than
// were made since: they are not made again.
func TestForgottenRequest(t *testing.T) {
	f := newFSM(t, smallLimits) // it remembers three
	index := uint64(0)
	put := func(id string, since uint64) outcome {
		index++
		c := &command{action: PutPolicy, time: time.Unix(1_800_000_000, 0), principal: editor, name: "p", text: []byte("x"), requestID: id, since: since}
		return f.Apply(&raft.Log{Index: index, Type: raft.LogCommand, Data: c.encode()}).(outcome)
	}
	first := put("a", 0)
	for name, c := range map[string]struct {
		got  outcome
		want uint64
	}{
		"remembered":                 {put("a", 1), first.version.Number},
		"new, and none is forgotten": {put("b", 1), 2},
	} {
		if c.got.err != nil || c.got.version.Number != c.want {
			t.Errorf("%s: %+v", name, c.got)
		}
	}
	seen := index
	for _, id := range []string{"c", "d", "e", "f"} {
		put(id, 0)
	}
	before := f.digest(t)
	if o := put("a", 1); !errors.Is(o.err, ErrUncertain) {
		t.Errorf("one that is forgotten: %+v", o)
	}
	if o := put("z", seen); !errors.Is(o.err, ErrUncertain) {
		t.Errorf("one that could be forgotten: %+v", o)
	}
	if after := f.digest(t); after == before {
		t.Error("the index has not moved")
	}
	if o := put("z", index-3); o.err != nil {
		t.Errorf("one that could not: %+v", o)
	}
}
