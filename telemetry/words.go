package telemetry

import "sync"

// Other stands for what is beyond a label's bound.
const Other = "other"

// words are the values that a label may have.
type words struct {
	mu    sync.RWMutex
	known map[string]struct{}
	most  int // 0: those that it began with
}

func newWords(most int, known ...string) *words {
	w := &words{known: map[string]struct{}{}, most: most}
	for _, s := range known {
		w.known[s] = struct{}{}
	}
	return w
}

// of returns s where it is one of the words, and other where it is not.
func (w *words) of(s string) string {
	if w.knows(s) {
		return s
	}
	return Other
}

func (w *words) knows(s string) bool {
	if w.most > 0 { // otherwise they do not change
		w.mu.RLock()
		defer w.mu.RUnlock()
	}
	_, ok := w.known[s]
	return ok
}

// learn adds a word of somebody who is trusted to choose it, while there is room.
func (w *words) learn(s string) {
	if w.knows(s) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) < w.most && len(s) <= maxLabel {
		w.known[s] = struct{}{}
	}
}

// maxLabel bounds a label's value, in bytes.
const maxLabel = 128
