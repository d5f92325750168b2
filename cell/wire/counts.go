package wire

import "sync/atomic"

// Counts are of a connection since it was made: sealed frames, and their bytes.
type Counts struct {
	FramesIn, FramesOut, BytesIn, BytesOut uint64
}

// Plus is the sum of both.
func (c Counts) Plus(o Counts) Counts {
	return Counts{c.FramesIn + o.FramesIn, c.FramesOut + o.FramesOut, c.BytesIn + o.BytesIn, c.BytesOut + o.BytesOut}
}

// Most has the greater of each.
func (c Counts) Most(o Counts) Counts {
	return Counts{max(c.FramesIn, o.FramesIn), max(c.FramesOut, o.FramesOut), max(c.BytesIn, o.BytesIn), max(c.BytesOut, o.BytesOut)}
}

// counter counts one direction. One goroutine at a time adds, any may look.
type counter struct{ frames, bytes atomic.Uint64 }

func (c *counter) add(frames, bytes int) {
	c.frames.Add(uint64(frames))
	c.bytes.Add(uint64(bytes))
}

func (c *conn) Counts() Counts {
	in, out := &c.receive.count, &c.sent
	return Counts{FramesIn: in.frames.Load(), FramesOut: out.frames.Load(), BytesIn: in.bytes.Load(), BytesOut: out.bytes.Load()}
}
