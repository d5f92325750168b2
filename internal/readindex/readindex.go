// Package readindex answers what a read, or whatever else must not be done by a leader of the past, asks of
// Raft: whether a node still leads, and up to which entry a reader must have applied.
//
// Raft's own question, VerifyLeader, also counts what others had answered before it was asked. That
// is too old when leadership was handed over meanwhile, or this process stood still. [Poll.Confirm]
// asks the voters for their terms instead: if a majority was in no later one than the leader's at
// some moment after the question, then no later leader was elected before it.
//
// Functions may be called from any goroutine. Those of this package end before Confirm returns.
package readindex

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Why a node cannot be said to lead.
var (
	// ErrDeposed: a voter is in a later term.
	ErrDeposed = errors.New("it does not lead any more")
	// ErrSilent: too few voters answered.
	ErrSilent = errors.New("it does not reach a majority")
)

// Voice is in which term of Raft a node was, at some moment after a question began: that of whoever
// asks needs no asking. The zero value is nobody's.
type Voice struct {
	Node string
	Term uint64
}

// Poll is a question to the voters of a group.
type Poll struct {
	// Self is the node that leads, in Term.
	Self string
	Term uint64
	// Voters of the group by the leader's configuration, itself too, if it votes.
	Voters []string
	By     Voice
	// Timeout bounds it.
	Timeout time.Duration
	// Ask asks a voter for its term, and returns soon after ctx has ended. Several are under way
	// at once.
	Ask func(ctx context.Context, node string) (term uint64, err error)
}

// Confirm is nil if, after it was called, a majority of the voters was in no later term than the
// leader's: whatever was agreed on before, no later leader did it. The errors are ErrDeposed and
// ErrSilent.
func (p Poll) Confirm(ctx context.Context) error {
	need := len(p.Voters)/2 + 1
	others := slices.DeleteFunc(slices.Clone(p.Voters), func(node string) bool {
		counts := node == p.Self || node == p.By.Node && p.By.Term == p.Term
		if counts {
			need--
		}
		return counts
	})
	if need <= 0 {
		return nil
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	type answer struct {
		term uint64
		err  error
	}
	answers := make(chan answer, len(others))
	for _, node := range others {
		asking.Go(func() {
			term, err := p.Ask(ctx, node)
			answers <- answer{term, err}
		})
	}
	var failed error
	for range others {
		switch a := <-answers; {
		case a.err != nil:
			failed = errors.Join(failed, a.err)
		case a.term > p.Term:
			return fmt.Errorf("node %s: %w", p.Self, ErrDeposed)
		default:
			need--
		}
		if need <= 0 {
			return nil
		}
	}
	return fmt.Errorf("node %s: %w: %w", p.Self, ErrSilent, failed)
}

// Voters of a configuration, by id.
func Voters(c raft.Configuration) (ids []string) {
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			ids = append(ids, string(s.ID))
		}
	}
	return ids
}

// Committed is the last command among the entries up to a leader's commit index, or applied if that
// is later. The leader may not have applied it itself: others can be ahead of it, and be read.
func Committed(log raft.LogStore, commit, applied uint64) (uint64, error) {
	for i := commit; i > applied; i-- {
		var entry raft.Log
		if err := log.GetLog(i, &entry); err != nil {
			return 0, fmt.Errorf("read entry %d of the log: %w", i, err)
		}
		if entry.Type == raft.LogCommand {
			return i, nil
		}
	}
	return applied, nil
}
