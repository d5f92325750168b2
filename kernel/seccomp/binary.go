package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	magic      = 0x31434553
	headerSize = 8
	holeSize   = 4
	codeSize   = 8
)

// MarshalBinary encodes the program for a C cell; see the package's documentation.
func (p Program) MarshalBinary() ([]byte, error) {
	if len(p.code) == 0 {
		return nil, errors.New("seccomp: the program is empty")
	}
	e := binary.NativeEndian
	b := e.AppendUint32(nil, magic)
	b = e.AppendUint16(b, uint16(len(p.code)))
	b = e.AppendUint16(b, uint16(len(p.holes)))
	for _, h := range p.holes {
		b = e.AppendUint16(b, uint16(h.At))
		b = e.AppendUint16(b, uint16(h.What))
	}
	return append(b, p.Bytes()...), nil
}

// Bytes returns the program as an array of struct sock_filter, its holes unfilled.
func (p Program) Bytes() []byte {
	e := binary.NativeEndian
	var b []byte
	for _, f := range p.code {
		b = e.AppendUint16(b, f.Code)
		b = append(b, f.Jt, f.Jf)
		b = e.AppendUint32(b, f.K)
	}
	return b
}

// UnmarshalBinary decodes what MarshalBinary made. It takes only programs that the
// kernel would take: every jump lands inside, every load is of a call's data, the last
// instruction returns.
func (p *Program) UnmarshalBinary(b []byte) error {
	e := binary.NativeEndian
	if len(b) < headerSize || e.Uint32(b) != magic {
		return errors.New("seccomp: not an encoded program")
	}
	length, holes := int(e.Uint16(b[4:])), int(e.Uint16(b[6:]))
	b = b[headerSize:]
	if length == 0 || length > maxProgram || len(b) != holes*holeSize+length*codeSize {
		return fmt.Errorf("seccomp: a program of %d instructions and %d holes is not %d bytes long", length, holes, len(b))
	}
	var q Program
	for ; holes > 0; holes-- {
		q.holes = append(q.holes, Hole{int(e.Uint16(b)), What(e.Uint16(b[2:]))})
		b = b[holeSize:]
	}
	for ; length > 0; length-- {
		q.code = append(q.code, unix.SockFilter{Code: e.Uint16(b), Jt: b[2], Jf: b[3], K: e.Uint32(b[4:])})
		b = b[codeSize:]
	}
	if err := q.check(); err != nil {
		return err
	}
	*p = q
	return nil
}

func (p Program) check() error {
	for _, h := range p.holes {
		if h.At >= len(p.code) || p.code[h.At].Code != opEqual || (h.What != OwnProcess && h.What != OwnThread) {
			return fmt.Errorf("seccomp: there is no hole %+v", h)
		}
	}
	for i, f := range p.code {
		if !possible(f, len(p.code)-i-1) {
			return fmt.Errorf("seccomp: instruction %d is not possible: %s", i, describe(i, f))
		}
	}
	if p.code[len(p.code)-1].Code != opReturn {
		return errors.New("seccomp: the program has no end")
	}
	return nil
}

// possible says whether the kernel takes f with left instructions behind it.
func possible(f unix.SockFilter, left int) bool {
	switch f.Code {
	case opLoad:
		return f.K%4 == 0 && f.K <= dataSize-4
	case opAnd, opReturn:
		return true
	case opEqual, opAtLeast, opAbove:
		return int(f.Jt) < left && int(f.Jf) < left
	case opJump:
		return uint64(f.K) < uint64(left)
	default:
		return false
	}
}
