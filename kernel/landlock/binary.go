package landlock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	magic      = 0x314b4c4c
	headerSize = 32
	portSize   = 16
	entrySize  = 12
	maxPath    = 4096
	maxRules   = 1 << 14
)

// padded is how many bytes a path takes with its zeros: as few as align what follows.
func padded(path string) int { return (entrySize+len(path)+1+7)/8*8 - entrySize }

// MarshalBinary encodes the ruleset for a C cell; see the package's documentation.
func (s Spec) MarshalBinary() ([]byte, error) {
	if len(s.Paths) > maxRules || len(s.Ports) > maxRules {
		return nil, fmt.Errorf("landlock: %d paths and %d ports are too many", len(s.Paths), len(s.Ports))
	}
	e := binary.NativeEndian
	b := e.AppendUint32(nil, magic)
	b = e.AppendUint16(b, uint16(len(s.Paths)))
	b = e.AppendUint16(b, uint16(len(s.Ports)))
	for _, v := range []uint64{s.FS, s.Net, s.Scope} {
		b = e.AppendUint64(b, v)
	}
	for _, p := range s.Ports {
		b = e.AppendUint64(b, p.Access)
		b = e.AppendUint64(b, uint64(p.Port))
	}
	for _, p := range s.Paths {
		if p.Path == "" || len(p.Path) >= maxPath || bytes.IndexByte([]byte(p.Path), 0) >= 0 {
			return nil, fmt.Errorf("landlock: %.40q is no path", p.Path)
		}
		size := padded(p.Path)
		b = e.AppendUint64(b, p.Access)
		b = e.AppendUint32(b, uint32(size))
		b = append(b, p.Path...)
		b = append(b, make([]byte, size-len(p.Path))...)
	}
	return b, nil
}

var errEncoding = errors.New("landlock: not an encoded ruleset")

// UnmarshalBinary decodes what MarshalBinary made, and nothing else.
func (s *Spec) UnmarshalBinary(b []byte) error {
	e := binary.NativeEndian
	if len(b) < headerSize || e.Uint32(b) != magic {
		return errEncoding
	}
	paths, ports := int(e.Uint16(b[4:])), int(e.Uint16(b[6:]))
	if paths > maxRules || ports > maxRules || len(b) < headerSize+ports*portSize+paths*entrySize {
		return errEncoding
	}
	d := Spec{FS: e.Uint64(b[8:]), Net: e.Uint64(b[16:]), Scope: e.Uint64(b[24:])}
	b = b[headerSize:]
	for ; ports > 0; ports-- {
		port := e.Uint64(b[8:])
		if port > 0xffff {
			return errEncoding
		}
		d.Ports = append(d.Ports, PortRule{uint16(port), e.Uint64(b)})
		b = b[portSize:]
	}
	for ; paths > 0; paths-- {
		var r PathRule
		var ok bool
		if r, b, ok = cutPath(b); !ok {
			return errEncoding
		}
		d.Paths = append(d.Paths, r)
	}
	if len(b) != 0 {
		return errEncoding
	}
	*s = d
	return nil
}

// cutPath takes one entry from the beginning of b.
func cutPath(b []byte) (r PathRule, rest []byte, ok bool) {
	e := binary.NativeEndian
	if len(b) < entrySize {
		return r, nil, false
	}
	access, size := e.Uint64(b), int(e.Uint32(b[8:]))
	b = b[entrySize:]
	if size > len(b) {
		return r, nil, false
	}
	path, zeros, ok := bytes.Cut(b[:size], []byte{0})
	if !ok || len(path) == 0 || len(path) >= maxPath || size != padded(string(path)) || len(bytes.Trim(zeros, "\x00")) > 0 {
		return r, nil, false
	}
	return PathRule{string(path), access}, b[size:], true
}
