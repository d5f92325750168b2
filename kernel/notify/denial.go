package notify

import (
	"strings"
	"sync/atomic"

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

// Counts are how a target's calls came out, since it was added.
type Counts struct {
	// Opened files; changes of files and directories; opens that the kernel went on with.
	Opened, Changed, Continued uint64
	// Denied by rules; and failed for another reason, most often because nothing is there.
	Denied, Failed uint64
}

type counters struct{ opened, changed, continued, denied, failed atomic.Uint64 }

// Counts returns how its calls have come out so far.
func (w *Watched) Counts() Counts {
	c := &w.counts
	return Counts{c.opened.Load(), c.changed.Load(), c.continued.Load(), c.denied.Load(), c.failed.Load()}
}
