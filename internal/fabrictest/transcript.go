package fabrictest

import (
	"errors"
	"fmt"
	"sync"
)

// Transcript is what clients know of one round with a cell that counts and chats: what they had it add
// and told it, and what it posted. Its methods may be called from any goroutine.
type Transcript struct {
	// Lapsed is of the Leniency with which the round was judged.
	Lapsed string

	since int64 // tokens of the round are above it

	mu    sync.Mutex
	added []Added
	told  int64 // words that were acknowledged; they are 1, 2, …
	heard []Added
}

// Added is that the cell added a token, as its number-th: in an answer, or in a post.
type Added struct {
	Token, Number int64
	Digest        int64 // of all tokens until this one; 0 in a post
	Outcome       Outcome
}

// State is what the cell says of itself when a round is over.
type State struct {
	Log    []int64 `json:"log"`    // tokens in the order it added them
	Heard  []int64 `json:"heard"`  // words in the order it heard them
	Digest int64   `json:"digest"` // of the log
}

// modulus of digests: a prime, so that what was added in another order has another digest.
const modulus = 1<<31 - 1

// digested is the guest's step, in Go.
func digested(digest, token int64) int64 { return (digest*31 + token) % modulus }

// Leniency is what the round's fault excuses.
type Leniency struct {
	// Lost: the owner died, or was without a lease, with what it had not carried over yet. What was answered last
	// may be gone, and the cell be as it was in a round before, or gone.
	Lost bool
	// Broken: the way of what was posted broke, which is received at most once.
	Broken bool
	// Lapsed are nodes by which Lost is excused, and by nothing else: they have lost their leases although nothing was
	// done to them. The machine was overloaded, if it is not so each time.
	Lapsed string
}

// Check holds the state of the cell against what clients were told: what was answered was done, once, in
// the order of the answers, and so was what was told it and what it posted.
func (t *Transcript) Check(s State, may Leniency) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.checkLog(s, may), t.checkWords(s, may), t.checkPosts(may))
}

func (t *Transcript) checkLog(s State, may Leniency) error {
	at, digests := map[int64]int64{}, make([]int64, len(s.Log)+1)
	var wrong []error
	for i, token := range s.Log {
		digests[i+1] = digested(digests[i], token)
		if before, twice := at[token]; twice {
			wrong = append(wrong, fmt.Errorf("%d was added twice, as %d and %d", token, before, i+1))
		}
		at[token] = int64(i + 1)
	}
	if s.Digest != digests[len(s.Log)] {
		wrong = append(wrong, fmt.Errorf("the state is of digest %d, and its log of %d tokens of %d", s.Digest, len(s.Log), digests[len(s.Log)]))
	}
	asked := map[int64]bool{}
	for _, a := range t.added {
		asked[a.Token] = true
		wrong = append(wrong, a.check(at[a.Token], digests, may))
	}
	for token, number := range at {
		if !asked[token] && (token > t.since || !may.Lost) {
			wrong = append(wrong, fmt.Errorf("nobody asked for %d, which is number %d", token, number))
		}
	}
	return errors.Join(wrong...)
}

// check holds an answer against the number that its token has in the log, which is 0 if it is not there.
func (a Added) check(number int64, digests []int64, may Leniency) error {
	switch {
	case a.Outcome == Refused && number != 0:
		return fmt.Errorf("%d was refused, and added as number %d", a.Token, number)
	case a.Outcome != Done || may.Lost:
		return nil
	case number == 0:
		return fmt.Errorf("%d was answered as number %d, and is lost", a.Token, a.Number)
	case number != a.Number || digests[number] != a.Digest:
		return fmt.Errorf("%d was answered as number %d with digest %d, and is number %d with digest %d", a.Token, a.Number, a.Digest, number, digests[number])
	}
	return nil
}

func (t *Transcript) checkWords(s State, may Leniency) error {
	var last int64
	for _, word := range s.Heard {
		if word <= last {
			return fmt.Errorf("the cell heard word %d after word %d", word, last)
		}
		if word != last+1 && !may.Lost {
			return fmt.Errorf("the cell heard word %d after word %d: what is between is lost", word, last)
		}
		last = word
	}
	if n := int64(len(s.Heard)); n < t.told && !may.Lost {
		return fmt.Errorf("the cell was told %d words, and heard %d", t.told, n)
	}
	return nil
}

func (t *Transcript) checkPosts(may Leniency) error {
	if may.Lost { // what is done again is posted again
		return nil
	}
	var last int64
	for _, p := range t.heard {
		if p.Number <= last {
			return fmt.Errorf("the cell posted number %d after number %d", p.Number, last)
		}
		if p.Number != last+1 && !may.Broken {
			return fmt.Errorf("the cell posted number %d after number %d: what is between is lost", p.Number, last)
		}
		last = p.Number
	}
	return nil
}

// Size is how much there is to judge.
func (t *Transcript) Size() (added, told, heard int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.added), int(t.told), len(t.heard)
}

func (t *Transcript) answered(a Added) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.added = append(t.added, a)
}

func (t *Transcript) posted(a Added) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = append(t.heard, a)
}

// caughtUp tells whether the last number was posted and received.
func (t *Transcript) caughtUp(number int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return number == 0 || len(t.heard) > 0 && t.heard[len(t.heard)-1].Number >= number
}
