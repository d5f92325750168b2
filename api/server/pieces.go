package server

import "context"

// maxPiece is how much of a file is in one message of a stream, in bytes.
const maxPiece = 256 << 10

// pieces sends what is written, in pieces.
type pieces struct {
	ctx  context.Context
	send func(piece []byte) error
}

// Write implements io.Writer.
func (p pieces) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if err := context.Cause(p.ctx); err != nil {
			return n, err
		}
		piece := b[:min(len(b), maxPiece)]
		if err := p.send(piece); err != nil {
			return n, err
		}
		n, b = n+len(piece), b[len(piece):]
	}
	return n, nil
}
