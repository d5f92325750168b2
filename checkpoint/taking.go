package checkpoint

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Opened is a checkpoint that is being opened. It is for one goroutine.
type Opened struct {
	Info  Info   // of one that is followed the header alone
	Terms []byte // as they were given to Seal

	reader *Reader
	file   io.Closer
	ahead  *bufio.Reader
}

// aheadBytes is what of a state is read at once. Its last byte is held back until there is more, or its end is known
// to be its end.
const aheadBytes = 64 << 10

// Open opens a checkpoint that is what e says. The terms are verified; the state is what Read gives.
func (a *Archive) Open(id string, e Expect) (*Opened, error) {
	f, i, err := a.store.Open(id)
	if err != nil {
		return nil, err
	}
	o, err := open(f, a.ring, e)
	if err != nil {
		return nil, err
	}
	o.Info = i
	return o, nil
}

// open opens what a file is read from, which it closes when it fails.
func open(f io.ReadCloser, k Keys, e Expect) (*Opened, error) {
	r, err := NewReader(f, k, e)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	o := &Opened{Info: Info{Header: r.Header()}, reader: r, file: f, ahead: bufio.NewReaderSize(r, aheadBytes)}
	o.Terms = make([]byte, r.Header().Terms)
	if _, err := io.ReadFull(o.ahead, o.Terms); err != nil {
		return nil, errors.Join(fmt.Errorf("how its cell was spawned: %w", early(err)), o.Close())
	}
	return o, nil
}

// early says that a checkpoint has less in it than it says.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends early", ErrDamaged)
	}
	return err
}

// Read implements io.Reader. The last byte of a state comes when all of the file is verified: whoever
// waits for it begins nothing with half of a state.
func (o *Opened) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	held, err := o.ahead.Peek(2) // and no more: what comes is not waited for
	switch {
	case len(held) == 0 && err != nil:
		return 0, err
	case err == nil:
		held, _ = o.ahead.Peek(o.ahead.Buffered())
		held = held[:len(held)-1] // there is more
	case !errors.Is(err, io.EOF):
		return 0, err
	}
	n := copy(b, held)
	_, err = o.ahead.Discard(n)
	return n, err
}

// Close gives back what it has.
func (o *Opened) Close() error {
	o.reader.Close()
	return o.file.Close()
}

// OpenAt opens a checkpoint's file as it is, from a byte on: for a transfer that goes on where it broke
// off. Only from the first byte on its content is compared with its name. An offset behind its end is
// ErrOffset.
func (a *Archive) OpenAt(id string, offset int64) (io.ReadCloser, Info, error) {
	return a.store.OpenAt(id, offset)
}

// Export writes a checkpoint's file: as it is, or sealed to a recipient if there is one.
func (a *Archive) Export(id string, to *Recipient, out io.Writer) error {
	if to == nil {
		f, _, err := a.store.Open(id)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, struct{ io.Reader }{f})
		return errors.Join(err, f.Close())
	}
	f, _, err := a.store.Open(id)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r, err := NewReader(f, a.ring, Expect{})
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := NewWriter(out, r.Header(), to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		w.giveUp()
		return err
	}
	return w.Close()
}

// Import takes in a file: one that the ring opens as it is; one that was sealed to an identity, which
// is given then, sealed anew. It is opened to its end before it is kept. may is asked about its
// header first, which is then not verified yet, but nothing of another header is kept.
func (a *Archive) Import(from io.Reader, identity *Identity, may func(Header) error) (Info, error) {
	if identity != nil {
		return a.reseal(from, identity, may)
	}
	begun := &bytes.Buffer{}
	copied := &turning{begun}
	r, err := NewReader(io.TeeReader(from, copied), a.ring, Expect{})
	if err != nil {
		return Info{}, err
	}
	defer r.Close()
	if err := may(r.Header()); err != nil {
		return Info{}, err
	}
	d, err := a.draft(r.Header().Tenant)
	if err != nil {
		return Info{}, err
	}
	d.needs(r.Header().Key.ID)
	if _, err = d.Write(begun.Bytes()); err == nil {
		copied.Writer = d
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return Info{}, errors.Join(err, d.discard())
	}
	return d.keep()
}

// turning writes to a writer that changes.
type turning struct{ io.Writer }

// reseal takes in what was sealed to an identity.
func (a *Archive) reseal(from io.Reader, identity *Identity, may func(Header) error) (Info, error) {
	r, err := NewReader(from, identity, Expect{})
	if err != nil {
		return Info{}, err
	}
	defer r.Close()
	h := r.Header()
	if err := may(h); err != nil {
		return Info{}, err
	}
	if now := a.now().UTC(); h.Created.After(now) { // as who has sealed it says, after whom all others of the cell would come
		h.Created = now
	}
	terms := make([]byte, h.Terms)
	if _, err := io.ReadFull(r, terms); err != nil {
		return Info{}, early(err)
	}
	s, err := a.Seal(h, terms, nil)
	if err != nil {
		return Info{}, err
	}
	if _, err := io.Copy(s, r); err != nil {
		return Info{}, errors.Join(err, s.Discard())
	}
	return s.Keep()
}
