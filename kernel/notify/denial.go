package notify

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Denial is what rules did not give.
type Denial struct {
	// ID is the target's.
	ID uint64
	// Call is the system call.
	Call string
	// Path is the object's real path, as the node sees it: valid UTF-8, cut at MaxDenialPath
	// bytes.
	Path string
	// Want is what the call needed there.
	Want policy.Access
	// Spent: not by the rules, but because trying all the globs for it took too long.
	Spent bool
}

// MaxDenialPath bounds a denial's path.
const MaxDenialPath = 512

func printable(path string) string {
	path = strings.ToValidUTF8(path[:min(len(path), MaxDenialPath)], "\uFFFD")
	for len(path) > MaxDenialPath { // what replaced an invalid byte has three
		path = strings.ToValidUTF8(path[:MaxDenialPath], "")
	}
	return path
}

// maxDenials is how many denials of a target are told in one second.
const maxDenials = 100

// allowance is what of a flood of denials is told. It is for the goroutine that serves.
type allowance struct {
	began time.Time // the second that told is of
	told  int
}

// take says whether one more may be told now. A second begins with the first denial after
// the last one's end, so that a flood across a border has what two seconds have.
func (a *allowance) take(now time.Time) bool {
	if a.told == 0 || now.Sub(a.began) >= time.Second {
		*a = allowance{began: now}
	}
	if a.told == maxDenials {
		return false
	}
	a.told++
	return true
}

// Counts are how a target's calls came out, since it was added.
type Counts struct {
	// Opened files; changes of files and directories; opens that the kernel went on with.
	Opened, Changed, Continued uint64
	// Denied by rules; and failed for another reason, most often because nothing is there.
	Denied, Failed uint64
	// Lost are those denied that [Options].Denied was not told of, since there were more than
	// 100 in a second. Without Denied nothing is lost.
	Lost uint64
}

type counters struct{ opened, changed, continued, denied, failed, lost atomic.Uint64 }

func (c Counts) plus(o Counts) Counts {
	return Counts{c.Opened + o.Opened, c.Changed + o.Changed, c.Continued + o.Continued, c.Denied + o.Denied, c.Failed + o.Failed, c.Lost + o.Lost}
}

// Counts sums those of all targets that there are and were.
func (s *Supervisor) Counts() Counts {
	s.lock.Lock()
	defer s.lock.Unlock()
	sum := s.past
	for w := range s.watched {
		sum = sum.plus(w.Counts())
	}
	return sum
}

// Counts returns how its calls have come out so far.
func (w *Watched) Counts() Counts {
	c := &w.counts
	return Counts{c.opened.Load(), c.changed.Load(), c.continued.Load(), c.denied.Load(), c.failed.Load(), c.lost.Load()}
}
