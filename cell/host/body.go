package host

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
)

// claimBody is the payload of InClaim.
func claimBody(shared bool) []byte {
	flags := uint32(0)
	if shared {
		flags |= ring.PolicyShared
	}
	return binary.LittleEndian.AppendUint32(nil, flags)
}

// lengths is a row of u32 little-endian lengths.
func lengths(ns ...int) []byte {
	b := make([]byte, 0, 4*len(ns))
	for _, n := range ns {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// errorBody is the payload of an answer that is an error.
func errorBody(e *cell.Error) []byte {
	b := append([]byte{byte(e.Kind)}, lengths(len(e.Type), len(e.Message), len(e.Traceback))...)
	return append(append(append(b, e.Type...), e.Message...), e.Traceback...)
}

// split takes count u32 lengths off b after skip bytes, then texts of those
// lengths; the last part is what remains.
func split(b []byte, skip, count int) ([][]byte, error) {
	at := skip + 4*count
	if len(b) < at {
		return nil, fmt.Errorf("%w: payload of %d bytes is shorter than its head", ring.ErrProtocol, len(b))
	}
	parts := make([][]byte, 0, count+1)
	rest := b[at:]
	for i := range count {
		n := binary.LittleEndian.Uint32(b[skip+4*i:])
		if uint64(n) > uint64(len(rest)) {
			return nil, fmt.Errorf("%w: text of %d bytes in a payload of %d", ring.ErrProtocol, n, len(b))
		}
		parts, rest = append(parts, rest[:n]), rest[n:]
	}
	return append(parts, rest), nil
}

// parseError reads an error body. A cell may name any kind of the vocabulary;
// it is believed about its own operation only.
func parseError(b []byte) (*cell.Error, error) {
	parts, err := split(b, 1, 3)
	if err != nil {
		return nil, err
	}
	kind := cell.Kind(b[0])
	if !kind.Known() {
		return nil, fmt.Errorf("%w: error of unknown kind %d", ring.ErrProtocol, b[0])
	}
	return &cell.Error{Kind: kind, Type: string(parts[0]), Message: string(parts[1]), Traceback: string(parts[2])}, nil
}

// parseFloat reads the f64 a payload begins with.
func parseFloat(b []byte) (float64, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("%w: payload of %d bytes has no number", ring.ErrProtocol, len(b))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

func contentType(f ring.Flags) cell.ContentType {
	if f&ring.Raw != 0 {
		return cell.Bytes
	}
	return cell.JSON
}

func flagsOf(t uint32) ring.Flags {
	if cell.ContentType(t) == cell.Bytes {
		return ring.Raw
	}
	return 0
}
