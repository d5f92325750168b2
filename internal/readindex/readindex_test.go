package readindex

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConfirm(t *testing.T) {
	three, five := []string{"a", "b", "c"}, []string{"a", "b", "c", "d", "e"}
	for name, c := range map[string]struct {
		voters []string
		terms  map[string]uint64 // of who answers; the others are silent
		by     Voice
		is     error
	}{
		"alone":                         {[]string{"a"}, nil, Voice{}, nil},
		"one of three":                  {three, map[string]uint64{"b": 7}, Voice{}, nil},
		"one that is behind":            {three, map[string]uint64{"b": 6}, Voice{}, nil},
		"one of three in a later term":  {three, map[string]uint64{"b": 8}, Voice{}, ErrDeposed},
		"nobody":                        {three, nil, Voice{}, ErrSilent},
		"one of five":                   {five, map[string]uint64{"e": 7}, Voice{}, ErrSilent},
		"two of five":                   {five, map[string]uint64{"b": 7, "e": 7}, Voice{}, nil},
		"who asks counts":               {three, nil, Voice{Node: "b", Term: 7}, nil},
		"who asks counts once":          {five, nil, Voice{Node: "b", Term: 7}, ErrSilent},
		"who asks, and another":         {five, map[string]uint64{"b": 7, "c": 7}, Voice{Node: "b", Term: 7}, nil},
		"who asks in an older term":     {three, nil, Voice{Node: "b", Term: 6}, ErrSilent},
		"who asks in a later term":      {three, nil, Voice{Node: "b", Term: 8}, ErrSilent},
		"who asks and does not vote":    {three, nil, Voice{Node: "z", Term: 7}, ErrSilent},
		"the leader asks":               {three, nil, Voice{Node: "a", Term: 7}, ErrSilent},
		"one that does not vote":        {[]string{"b", "c", "d"}, map[string]uint64{"b": 7}, Voice{}, ErrSilent},
		"two without the leader's vote": {[]string{"b", "c", "d"}, map[string]uint64{"b": 7, "d": 7}, Voice{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := Poll{Self: "a", Term: 7, Voters: c.voters, By: c.by, Timeout: 50 * time.Millisecond,
				Ask: func(ctx context.Context, node string) (uint64, error) {
					if term, ok := c.terms[node]; ok {
						return term, nil
					}
					<-ctx.Done()
					return 0, ctx.Err()
				}}
			synctest.Test(t, func(t *testing.T) { // its time passes only while all wait
				if err := p.Confirm(t.Context()); !errors.Is(err, c.is) {
					t.Errorf("%v, not %v", err, c.is)
				}
			})
		})
	}
}

func TestVoters(t *testing.T) {
	c := raft.Configuration{Servers: []raft.Server{{ID: "a"}, {ID: "b", Suffrage: raft.Nonvoter}, {ID: "c", Suffrage: raft.Voter}}}
	if got := Voters(c); len(got) != 2 || got[0] != "a" || got[1] != "c" {
		t.Errorf("voters are %v", got)
	}
}

func TestCommitted(t *testing.T) {
	log := raft.NewInmemStore()
	for i, kind := range []raft.LogType{raft.LogConfiguration, raft.LogCommand, raft.LogNoop, raft.LogCommand, raft.LogBarrier} {
		if err := log.StoreLog(&raft.Log{Index: uint64(i + 3), Type: kind}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ commit, applied, want uint64 }{
		{7, 0, 6}, {7, 4, 6}, {7, 6, 6}, {6, 4, 6}, {5, 0, 4}, {5, 4, 4}, {4, 6, 6}, {3, 3, 3},
	} {
		if got, err := Committed(log, c.commit, c.applied); err != nil || got != c.want {
			t.Errorf("up to %d, with %d applied: %d, %v", c.commit, c.applied, got, err)
		}
	}
	if _, err := Committed(log, 3, 0); err == nil {
		t.Error("entries that are not there are said to be none")
	}
}
