package checkpoint

import (
	"errors"
	"io"
)

// Mirror is asked where a checkpoint's file goes while it is written, beside the archive. The header
// says which key it is sealed with. What the writer is given is the file from its first byte on; a
// writer that waits makes the sealing wait.
type Mirror func(h Header) (io.Writer, error)

// tee writes to a file, and to a mirror while that takes it.
type tee struct {
	file io.Writer
	head []byte // until there is a mirror
	to   io.Writer
	sent int64
	err  error // why the mirror has no more
}

// Write implements io.Writer. Its error is the file's.
func (t *tee) Write(b []byte) (int, error) {
	n, err := t.file.Write(b)
	switch {
	case err != nil:
		if t.err == nil {
			t.err = err // what is in no file is not sent either
		}
	case t.to != nil:
		t.send(b)
	case t.err == nil:
		t.head = append(t.head, b...)
	}
	return n, err
}

// begin has the mirror, which gets what was written before.
func (t *tee) begin(m Mirror, h Header) {
	if t.to, t.err = m(h); t.err == nil && t.to == nil {
		t.err = errors.New("there is no mirror")
	}
	if t.err == nil {
		t.send(t.head)
	}
	t.head = nil
}

func (t *tee) send(b []byte) {
	if t.err != nil {
		return
	}
	var n int
	n, t.err = t.to.Write(b)
	t.sent += int64(n)
	if t.err == nil && n < len(b) {
		t.err = io.ErrShortWrite
	}
}
