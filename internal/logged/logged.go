// Package logged is for tests that read what others go on writing: a logger, or a process.
package logged

import (
	"bytes"
	"sync"
)

// Text is what was written. The zero value is empty; it is safe for concurrent use, and must not be copied.
type Text struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// String is all that was written until now.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
