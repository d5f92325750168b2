// Package stack saves goroutines that begin deep calls the way there.
//
// A goroutine starts with a few kilobytes of stack, and gets twice as much whenever that is too
// little: what is on it is copied then, and each pointer to it adjusted. A goroutine that is made
// for one call of the API, which goes through the layers of three libraries to get to a cell, does
// so three to four times: that was a seventh of the processor time of all calls.
package stack

// frame is what gets a goroutine 32 KiB of stack.
const frame = 16 << 10

// Room has the stack of a goroutine that has just begun be as large at once as a call of the API
// needs, while there is nothing on it to copy. It lasts until a garbage collection finds it unused.
//
//go:noinline
func Room() {
	var room [frame]byte
	use(&room)
}

//go:noinline
func use(*[frame]byte) {}
