//go:build race

package await

// Race says that the race detector looks on, which makes everything Slow times as slow.
const (
	Race = true
	Slow = 3
)
